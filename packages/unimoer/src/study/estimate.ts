import { type StudyArm, studyArms, totalRank } from './arms.js';
import { endpointsOf } from './cell.js';
import type { BackboneFacts } from './model.js';
import type { PreparedDataset } from './prepare.js';
import type { StudyConfig } from './schema.js';
import type { StudyState } from './state.js';

/** Estimated work of a cell. */
export interface CellCost {
  /** Tokens that pass in training, and in evaluation. */
  trainTokens: number;
  evaluationTokens: number;
  flops: number;
}

/** Mean length in tokens of texts, each cut to a maximum. */
export type MeasureLength = (texts: readonly string[], maxLength: number) => number;

const charactersPerToken = 4.6;
const specialTokens = 2;

/** Without a tokeniser: English word pieces are about 4.6 characters long. */
export const lengthFromCharacters: MeasureLength = (texts, maxLength) => {
  const total = texts.reduce(
    (sum, text) => sum + Math.min(maxLength, text.length / charactersPerToken + specialTokens),
    0,
  );
  return texts.length === 0 ? 0 : total / texts.length;
};

interface Lengths {
  trainQuery: number;
  trainDocument: number;
  trainPair: number;
  queries: number;
  documents: number;
  pairs: number;
  pairCount: number;
}

function sample<T>(items: readonly T[], size: number): T[] {
  const stride = Math.max(1, Math.floor(items.length / size));
  return items.filter((_, i) => i % stride === 0);
}

function lengthsOf(config: StudyConfig, data: PreparedDataset, measure: MeasureLength): Lengths {
  const { training, evaluation } = config;
  const documents = sample(
    data.pool.map((position) => data.test.corpus.texts[position]!),
    300,
  );
  const trainQueries = sample([...data.trainQueries.values()], 200);
  const testQueries = sample([...data.test.queries.values()], 200);
  const pairLength = (queries: string[], maxLength: number) =>
    measure(
      documents.map((text, i) => `${queries[i % queries.length]} ${text}`),
      maxLength,
    );
  return {
    trainQuery: measure(trainQueries, training.embedding.maxLength),
    trainDocument: measure(documents, training.embedding.maxLength),
    trainPair: pairLength(trainQueries, training.reranking.maxLength),
    queries: measure(testQueries, evaluation.embedding.maxLength),
    documents: measure(documents, evaluation.embedding.maxLength),
    pairs: pairLength(testQueries, evaluation.reranking.maxLength),
    pairCount: [...data.testRun.values()].reduce(
      (sum, found) => sum + Math.min(found.length, evaluation.reranking.top),
      0,
    ),
  };
}

/** Floating-point operations per token: of layers below and from the lowest adapted one, and of adapters. */
function perToken(arm: StudyArm, facts: BackboneFacts) {
  const layer = 2 * facts.linearParameters;
  const adapted = arm.adapter?.layers ?? (arm.adapter ? [...Array(facts.layers).keys()] : []);
  const lowest = adapted.length > 0 ? Math.min(...adapted) : facts.layers;
  return {
    frozen: layer * lowest,
    upper: layer * (facts.layers - lowest),
    adapters: 2 * totalRank(arm.adapter) * facts.linearWidth * adapted.length,
  };
}

function costOf(
  config: StudyConfig,
  arm: StudyArm,
  facts: BackboneFacts,
  data: PreparedDataset,
  lengths: Lengths,
): CellCost {
  const { embedding, reranking, steps, schedule } = config.training;
  const half = schedule === 'alternate' && arm.tasks.length > 1 ? 0.5 : 1;
  const embeddingTokens =
    embedding.queries * (lengths.trainQuery + (1 + embedding.negatives) * lengths.trainDocument);
  const rerankingTokens = reranking.queries * (1 + reranking.negatives) * lengths.trainPair;
  const trainTokens =
    steps *
    half *
    ((arm.tasks.includes('embedding') ? embeddingTokens : 0) +
      (arm.tasks.includes('reranking') ? rerankingTokens : 0));
  const endpoints = endpointsOf(arm);
  const evaluationTokens =
    (endpoints.includes('embedding')
      ? data.test.queries.size * lengths.queries + data.pool.length * lengths.documents
      : 0) + (endpoints.includes('reranking') ? lengths.pairCount * lengths.pairs : 0);
  const { frozen, upper, adapters } = perToken(arm, facts);
  return {
    trainTokens,
    evaluationTokens,
    flops:
      trainTokens * (frozen + 2 * upper + 3 * adapters) +
      evaluationTokens * (frozen + upper + adapters),
  };
}

/**
 * Estimated work of every cell by its key, counted as if each computed everything; what lies below
 * the lowest adapter is computed once for all cells, so that the true work is smaller.
 */
export function cellFlops(
  dir: string,
  state: Pick<StudyState, 'config' | 'cells' | 'backbones'>,
  datasets: readonly PreparedDataset[],
  measure: MeasureLength = lengthFromCharacters,
): Map<string, CellCost> {
  const arms = new Map(studyArms(state.config, dir).map((arm) => [arm.info.arm, arm]));
  const lengths = new Map(
    datasets.map((data) => [data.name, lengthsOf(state.config, data, measure)]),
  );
  return new Map(
    state.cells.map((cell) => {
      const data = datasets.find(({ name }) => name === cell.dataset)!;
      const facts = state.backbones[cell.backbone]!;
      const arm = arms.get(cell.arm)!;
      return [cell.key, costOf(state.config, arm, facts, data, lengths.get(cell.dataset)!)];
    }),
  );
}
