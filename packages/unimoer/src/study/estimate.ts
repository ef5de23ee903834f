import { type StudyArm, studyArms, totalRank } from './arms.js';
import type { Endpoint } from '../report/types.js';
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
    lowest,
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
  isNew: (what: string) => boolean,
): CellCost {
  const { embedding, reranking, steps, schedule, gradientCheckpointing } = config.training;
  const half = schedule === 'alternate' && arm.tasks.length > 1 ? 0.5 : 1;
  const training: Record<Endpoint, number> = {
    embedding:
      steps *
      half *
      embedding.queries *
      (lengths.trainQuery + (1 + embedding.negatives) * lengths.trainDocument),
    reranking: steps * half * reranking.queries * (1 + reranking.negatives) * lengths.trainPair,
  };
  const evaluation: Record<Endpoint, number> = {
    embedding: data.test.queries.size * lengths.queries + data.pool.length * lengths.documents,
    reranking: lengths.pairCount * lengths.pairs,
  };
  const { lowest, frozen, upper, adapters } = perToken(arm, facts);
  const cost: CellCost = { trainTokens: 0, evaluationTokens: 0, flops: 0 };
  for (const task of arm.tasks) {
    const tokens = training[task];
    cost.trainTokens += tokens;
    cost.flops += tokens * (2 * upper + 3 * adapters);
    if (gradientCheckpointing) cost.flops += tokens * (upper + adapters);
    if (isNew(`training ${task} ${lowest}`)) cost.flops += tokens * frozen;
  }
  for (const endpoint of endpointsOf(arm)) {
    const tokens = evaluation[endpoint];
    cost.evaluationTokens += tokens;
    cost.flops += tokens * (upper + adapters);
    if (isNew(`evaluation ${endpoint} ${lowest}`)) cost.flops += tokens * frozen;
  }
  return cost;
}

/**
 * Estimated work of every cell by its key. What lies below the lowest adapter is computed once for the
 * texts of an endpoint and counts in the first cell that needs it.
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
  const counted = new Set<string>();
  return new Map(
    state.cells.map((cell) => {
      const data = datasets.find(({ name }) => name === cell.dataset)!;
      const facts = state.backbones[cell.backbone]!;
      const arm = arms.get(cell.arm)!;
      const isNew = (what: string): boolean => {
        // Every arm of one seed draws the same training examples, another seed others.
        const seed = what.startsWith('training') ? cell.seed : '';
        const key = `${cell.backbone} ${cell.dataset} ${what} ${seed}`;
        const fresh = !counted.has(key);
        counted.add(key);
        return fresh;
      };
      const cost = costOf(state.config, arm, facts, data, lengths.get(cell.dataset)!, isNew);
      return [cell.key, cost];
    }),
  );
}
