import { memory } from '@unimoer/core';
import { afterAll, describe, expect, it } from 'vitest';
import {
  type ArmName,
  MemoryFeatureStore,
  studyArm,
  type TrainConfig,
  type TrainDeps,
  trainRun,
} from '../src/index';
import { fastBackend, tinyModel, toyConfig, toyData, toyDeps } from './toy';

const backend = fastBackend();
const model = tinyModel();
const threads = backend.threads();
afterAll(() => {
  backend.setThreads(threads);
  model.dispose();
});

const pairs = [...toyData().queries.values()]
  .slice(0, 6)
  .map((query, i) => [query, toyData().corpus.texts[i]!] as const);

/** Everything a run yields: curve, vectors and scores. */
async function outcome(config: TrainConfig, extra: Partial<TrainDeps> = {}) {
  const { summary, model: learned } = await trainRun(config, toyDeps(model, extra));
  const texts = toyData().corpus.texts.slice(0, 7);
  const vectors = await learned!.encodeTexts(texts, 'document', { maxLength: 16 });
  const scores = learned!.canScore
    ? await learned!.scorePairs(pairs, { maxLength: 24, batchTokens: 60 })
    : null;
  learned!.dispose();
  return { summary, vectors, scores };
}

const upper = { target: 'all', rank: 4, layers: [1] } as const;

describe('a run', () => {
  it.each<ArmName>(['joint', 'moeLora'])(
    '%s has the same bits with any number of threads',
    async (name) => {
      const config = toyConfig(name, { steps: 6 });
      backend.setThreads(1);
      const one = await outcome(config);
      backend.setThreads(2);
      const two = await outcome(config);
      backend.setThreads(3);
      expect(two).toEqual(one);
      expect(await outcome(config)).toEqual(one);
      backend.setThreads(threads);
    },
  );

  it.each<[ArmName, 'f32' | 'bf16']>([
    ['joint', 'bf16'],
    ['moeLora', 'f32'],
    ['hardSwitchShared', 'bf16'],
  ])('%s in %s has the same bits with gradient checkpointing', async (name, dtype) => {
    const own = tinyModel(dtype);
    const run = async (gradientCheckpointing: boolean) => {
      const config = toyConfig(name, { steps: 4, gradientCheckpointing });
      const { summary, model: learned } = await trainRun(config, toyDeps(own));
      const scores = await learned!.scorePairs(pairs, { maxLength: 24 });
      learned!.dispose();
      return { curve: summary.curve, scores, flops: summary.flops };
    };
    const [plain, again] = [await run(false), await run(true)];
    expect(again).toEqual({ ...plain, flops: again.flops });
    expect(again.flops).toBeGreaterThan(plain.flops);
    own.dispose();
  });

  it('depends on the seed', async () => {
    const config = toyConfig('joint', { steps: 3 });
    const first = await outcome(config);
    const second = await outcome({ ...config, seed: 2 });
    expect(second.summary.curve).not.toEqual(first.summary.curve);
  });

  it.each<[ArmName, 'f32' | 'bf16']>([
    ['moeLora', 'f32'],
    ['joint', 'bf16'],
    ['headOnly', 'f32'],
  ])('%s in %s has the same bits with and without the feature cache', async (name, dtype) => {
    const own = tinyModel(dtype);
    const config = { ...toyConfig(name, { steps: 5 }), arm: studyArm(name, upper) };
    const run = async (extra: Partial<TrainDeps>) => {
      const result = await trainRun(config, toyDeps(own, extra));
      const scores = await result.model!.scorePairs(pairs, { maxLength: 24 });
      result.model!.dispose();
      return { curve: result.summary.curve, scores };
    };
    const plain = await run({});
    const cache = new MemoryFeatureStore();
    expect(await run({ cache })).toEqual(plain);
    expect(cache.bytes).toBeGreaterThan(0);
    const filled = cache.bytes;
    expect(await run({ cache })).toEqual(plain);
    expect(cache.bytes).toBe(filled);
    // A store that is full answers nothing and changes nothing.
    expect(await run({ cache: new MemoryFeatureStore(0) })).toEqual(plain);
    own.dispose();
  });

  it('as a hard switch is the two dedicated runs, bit for bit', async () => {
    const steps = 8;
    const [embed, rerank, both] = await Promise.all([
      outcome(toyConfig('embedOnly', { steps })),
    ]).then(async ([first]) => [
      first!,
      await outcome(toyConfig('rerankOnly', { steps })),
      await outcome(toyConfig('hardSwitch', { steps })),
    ]);
    const losses = (run: typeof both, key: 'embeddingLoss' | 'rerankingLoss') =>
      run!.summary.curve.map((metrics) => metrics[key]);
    expect(losses(both, 'embeddingLoss')).toEqual(losses(embed, 'embeddingLoss'));
    expect(losses(both, 'rerankingLoss')).toEqual(losses(rerank, 'rerankingLoss'));
    expect(both!.vectors).toEqual(embed!.vectors);
    expect(both!.scores).toEqual(rerank!.scores);
  });

  it('keeps live bytes flat from step 50 to step 500', async () => {
    const live = new Map<number, number>();
    const config = toyConfig('moeLora', { steps: 500 });
    const small: TrainConfig = {
      ...config,
      embedding: { ...config.embedding, queries: 2 },
      reranking: { ...config.reranking, queries: 1 },
      optimizer: { ...config.optimizer, lr: 1e-4 },
    };
    const before = memory(backend).liveBytes;
    const { model: learned } = await trainRun(
      small,
      toyDeps(model, {
        onProgress: (event) => {
          if (event.type === 'step') live.set(event.metrics.step + 1, memory(backend).liveBytes);
        },
      }),
    );
    expect(live.get(500)).toBe(live.get(50));
    learned!.dispose();
    expect(memory(backend).liveBytes).toBe(before);
  });
});
