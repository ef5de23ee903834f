import { resolve } from 'node:path';
import { type Backend, BackendError, getBackend, Philox } from '@unimoer/core';
import { loadModel, type Model } from '@unimoer/models';
import {
  type ArmName,
  defaultTrainConfig,
  studyArm,
  type TrainConfig,
  type TrainDeps,
  type TrainingData,
  trainingModel,
} from '../src/index';

export const tinyBert = resolve(import.meta.dirname, '../../../fixtures/tiny-bert');

/** The native backend where it loads, else the reference backend; the second only for small runs. */
export function fastBackend(): Backend {
  try {
    return getBackend('native');
  } catch (error) {
    if (!(error instanceof BackendError)) throw error;
    console.warn(`on the reference backend: ${error.message}`);
    return getBackend('reference');
  }
}

export function tinyModel(dtype: 'f32' | 'bf16' = 'f32', folder = tinyBert): Model {
  return loadModel(folder, { dtype, backend: fastBackend(), forBackward: true });
}

const WORDS = 'abcdefghijklmnopqrstuvwxyz0123456789'.split('');

/** Documents of random letters; each query shares five letters with its one relevant document. */
export function toyData(queries = 24): TrainingData {
  const random = new Philox(77);
  const word = (): string => WORDS[random.int(WORDS.length)]!;
  const documents = Array.from({ length: 2 * queries }, () => Array.from({ length: 10 }, word));
  const ids = documents.map((_, i) => `d${i}`);
  const names = Array.from({ length: queries }, (_, i) => `q${i}`);
  return {
    corpus: {
      texts: documents.map((words) => words.join(' ')),
      index: new Map(ids.map((id, i) => [id, i])),
    },
    queries: new Map(names.map((q, i) => [q, documents[i]!.slice(2, 7).join(' ')])),
    qrels: new Map(names.map((q, i) => [q, new Map([[`d${i}`, 1]])])),
    candidates: new Map(
      names.map((q, i) => [
        q,
        // The relevant document stands among the candidates and must be skipped.
        [i, i + 1, i + 2, i + 3, i + queries].map((k) => `d${k % documents.length}`),
      ]),
    ),
  };
}

export function toyConfig(name: ArmName, changes: Partial<TrainConfig> = {}): TrainConfig {
  const arm = studyArm(name, { target: 'all', rank: 4 });
  const base = defaultTrainConfig(arm);
  return {
    ...base,
    steps: 30,
    embedding: { ...base.embedding, queries: 8, maxLength: 16 },
    reranking: { ...base.reranking, queries: 4, maxLength: 24 },
    optimizer: { ...base.optimizer, lr: 1e-2, routerLr: 1e-2 },
    ...changes,
  };
}

export function toyDeps(model: Model, extra: Partial<TrainDeps> = {}): TrainDeps {
  return { ...trainingModel(model), data: toyData(), ...extra };
}

export function average(values: readonly (number | undefined)[]): number {
  return values.reduce<number>((total, value) => total + value!, 0) / values.length;
}
