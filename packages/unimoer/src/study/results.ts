import { basename } from 'node:path';
import type { BackboneInfo, CellResult, DatasetInfo, Json, StudyResults } from '../report/types.js';
import { type StudyArm, studyArms } from './arms.js';
import { environment } from './environment.js';
import { baselines } from './evaluate.js';
import { endpointSetup, type PreparedDataset } from './prepare.js';
import type { StudyConfig } from './schema.js';
import { type CellRecord, readCell, type StudyState } from './state.js';

/** The resolved settings, without paths. */
function publicConfig(config: StudyConfig): Json {
  const bare = {
    ...config,
    backbones: config.backbones.map((backbone) => ({
      ...backbone,
      model: /^(npm|hf):/.test(backbone.model) ? backbone.model : basename(backbone.model),
    })),
    datasets: config.datasets.map(({ path: _, ...dataset }) => dataset),
  };
  return JSON.parse(JSON.stringify(bare)) as Json;
}

/** A hard switch whose experts never share a sequence is its two dedicated arms side by side. */
function compose(
  arm: StudyArm,
  parts: { embedding: CellResult; reranking: CellResult },
): CellResult {
  const { embedding, reranking } = parts;
  return {
    ...embedding,
    arm: arm.info.arm,
    embedding: embedding.embedding,
    reranking: reranking.reranking,
    trainableParameters: embedding.trainableParameters + reranking.trainableParameters,
    tokens: embedding.tokens + reranking.tokens,
    examples: { ...embedding.examples, ...reranking.examples },
    flops: embedding.flops + reranking.flops,
    seconds: embedding.seconds + reranking.seconds,
    losses: { ...embedding.losses, ...reranking.losses },
    routing: null,
  };
}

function collectCells(
  dir: string,
  state: StudyState,
  arms: StudyArm[],
): { cells: CellResult[]; records: CellRecord[]; missing: number } {
  const records: CellRecord[] = [];
  let missing = 0;
  for (const cell of state.cells) {
    const record = readCell(dir, cell);
    if (record) records.push(record);
    else missing++;
  }
  const all = records.map((record) => record.result);
  const cells: CellResult[] = [];
  const { backbones, datasets, seeds } = state.config;
  for (const backbone of backbones) {
    for (const dataset of datasets) {
      const here = all.filter((c) => c.backbone === backbone.name && c.dataset === dataset.name);
      for (const arm of arms) {
        const { composedOf } = arm;
        if (!composedOf) {
          cells.push(...here.filter((cell) => cell.arm === arm.info.arm));
          continue;
        }
        for (const seed of seeds) {
          const of = (name: string) => here.find((c) => c.arm === name && c.seed === seed);
          const embedding = of(composedOf.embedding);
          const reranking = of(composedOf.reranking);
          if (embedding && reranking) cells.push(compose(arm, { embedding, reranking }));
        }
      }
    }
  }
  return { cells, records, missing };
}

function datasetInfo(config: StudyConfig, data: PreparedDataset): DatasetInfo {
  const dataset = config.datasets.find(({ name }) => name === data.name)!;
  return {
    dataset: dataset.name,
    label: dataset.label ?? dataset.name,
    split: dataset.testSplit,
    documents: data.test.corpus.ids.length,
    queries: data.test.queries.size,
    trainQueries: data.trainQueries.size,
    ...(dataset.licence && { licence: dataset.licence }),
    endpoints: endpointSetup(config, data),
    groups: data.groups,
    groupRule: dataset.leakFree
      ? 'all gold documents are training positives (queries that share one were left out of training)'
      : 'all gold documents of the query are training positives',
  };
}

/** Everything that the report is a function of. Cells that have not finished are left out and counted. */
export function assembleResults(
  dir: string,
  state: StudyState,
  datasets: PreparedDataset[],
): { results: StudyResults; missing: number } {
  const { config } = state;
  const arms = studyArms(config, dir);
  const { cells, records, missing } = collectCells(dir, state, arms);
  const warnings = new Set([
    ...state.warnings,
    ...datasets.flatMap((data) => data.warnings),
    ...records.flatMap((record) => record.warnings),
  ]);
  if (missing > 0) warnings.add(`${missing} of ${state.cells.length} cells have not finished`);
  const infos = config.backbones.map((backbone): BackboneInfo => {
    const { parameters, layers, dim } = state.backbones[backbone.name]!;
    return {
      backbone: backbone.name,
      label: backbone.label ?? backbone.name,
      parameters,
      layers,
      dim,
      ...(backbone.licence && { licence: backbone.licence }),
    };
  });
  const profile = state.profile === 'full' ? '' : ` --profile ${state.profile}`;
  const results: StudyResults = {
    study: config.name,
    ...(config.question && { question: config.question }),
    profile: state.profile,
    config: publicConfig(config),
    backbones: infos,
    datasets: datasets.map((data) => datasetInfo(config, data)),
    arms: arms.map((arm) => arm.info),
    seeds: [...config.seeds].sort((a, b) => a - b),
    pairedSeeds: true,
    delta: config.delta,
    cells,
    baselines: datasets.flatMap((data) => baselines(config, data)),
    cuts: state.cuts,
    warnings: [...warnings],
    reproduce: {
      commands:
        config.name === 'quick'
          ? ['npm run study']
          : [`npm run study -- studies/${config.name}.yaml${profile}`],
      versions: {
        code: `sha256:${state.codeVersion}`,
        ...Object.fromEntries(datasets.map((d) => [`data ${d.name}`, `sha256:${d.hash}`])),
        ...Object.fromEntries(
          Object.entries(state.backbones).map(([name, { hash }]) => [
            `weights ${name}`,
            `sha256:${hash}`,
          ]),
        ),
      },
    },
    environment: environment(records.map((record) => record.peakBytes)),
    timing: { stages: state.seconds, cells: cells.reduce((sum, cell) => sum + cell.seconds, 0) },
    createdAt: state.createdAt,
  };
  return { results, missing };
}
