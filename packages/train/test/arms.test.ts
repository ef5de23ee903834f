import { afterAll, describe, expect, it } from 'vitest';
import { type ArmName, armNames, studyArm, type TrainConfig, trainRun } from '../src/index';
import { average, tinyModel, toyConfig, toyData, toyDeps } from './toy';

const model = tinyModel();
afterAll(() => model.dispose());

describe('studyArm', () => {
  it('matches the rank of the joint arm to the mixture', () => {
    const arm = studyArm('jointRankMatched', { target: 'all', rank: 32 });
    expect(arm.adapter).toMatchObject({ kind: 'lora', rank: 96, alpha: 192 });
    const wide = studyArm('jointRankMatched', { target: 'all', rank: 32, preset: 'unimoer' });
    expect(wide.adapter).toMatchObject({ rank: 128 });
  });

  it('refuses unknown names', () => {
    expect(() => studyArm('moe' as ArmName, { target: 'all', rank: 1 })).toThrow(/hardSwitch/);
  });
});

describe('every arm', () => {
  const trained = armNames.filter((name) => name !== 'none');

  it.each(trained)('%s: its losses fall', async (name) => {
    const config = toyConfig(name, { steps: 40 });
    // On frozen random states the head alone learns slowly.
    const slow = { ...config, steps: 120, optimizer: { ...config.optimizer, headLr: 0.3 } };
    const result = await trainRun(name === 'headOnly' ? slow : config, toyDeps(model));
    const { curve } = result.summary;
    for (const key of ['embeddingLoss', 'rerankingLoss'] as const) {
      const task = key === 'embeddingLoss' ? 'embedding' : 'reranking';
      const losses = curve.map((metrics) => metrics[key]);
      if (!studyArm(name, { target: 'all', rank: 4 }).tasks.includes(task)) {
        expect(losses.every((loss) => loss === undefined)).toBe(true);
      } else {
        expect(average(losses.slice(-8))).toBeLessThan(0.9 * average(losses.slice(0, 8)));
      }
    }
    result.model!.dispose();
  });

  it('learns through a mixture with task-conditional balance in alternate mode', async () => {
    const arm = studyArm('moeLora', { target: 'all', rank: 4, preset: 'unimoer' });
    const config: TrainConfig = { ...toyConfig('moeLora'), arm, schedule: 'alternate', steps: 60 };
    const { summary, model: learned } = await trainRun(config, toyDeps(model));
    const embedding = summary.curve.filter((metrics) => metrics.embeddingLoss !== undefined);
    expect(embedding.map((metrics) => metrics.step % 2)).toEqual(new Array(30).fill(0));
    const losses = embedding.map((metrics) => metrics.embeddingLoss);
    expect(average(losses.slice(-5))).toBeLessThan(average(losses.slice(0, 5)));
    expect(learned!.routing()).toMatchObject({ layers: [], experts: ['embedding', 'reranking'] });
    learned!.dispose();
  });

  it('counts parameters, tokens and operations', async () => {
    const config = toyConfig('rerankOnly', { steps: 2 });
    const { summary, model: trainedModel } = await trainRun(config, toyDeps(model));
    // Two layers of q, k, v, o (64 × 64) and two feed-forward linears (64 × 96), rank 4; head 64 + 2.
    const adapter = 2 * 4 * (4 * 128 + 2 * 160);
    expect(summary.parameterGroups).toEqual({ adapter, head: 66 });
    expect(summary.trainableParameters).toBe(adapter + 66);
    const lengths = 17; // [CLS] 5 letters [SEP] 10 letters [SEP] has 18 tokens at most.
    expect(summary.tokens).toBeGreaterThan(2 * 12 * (lengths - 2));
    expect(summary.tokens).toBeLessThanOrEqual(2 * 12 * (lengths + 1));
    const linears = 2 * (4 * 64 * 64 + 2 * 64 * 96);
    // Forward and backward of the frozen linears and three passes of the adapters; attention on top.
    const least = summary.tokens * (2 * 2 * linears + 3 * 2 * adapter);
    expect(summary.flops).toBeGreaterThan(least);
    expect(summary.flops).toBeLessThan(1.2 * least);
    trainedModel!.dispose();
  });

  it('returns an arm without tasks as it is', async () => {
    const result = await trainRun(toyConfig('none'), toyDeps(model));
    expect(result.summary).toMatchObject({ steps: 0, trainableParameters: 0, tokens: 0 });
    const texts = [...toyData().corpus.texts].slice(0, 3);
    const vectors = await result.model!.encodeTexts(texts, 'document', { maxLength: 16 });
    const expected = await model.embed(texts, { maxLength: 16 });
    expect(Array.from(vectors)).toEqual(Array.from(expected.vectors));
    await expect(result.model!.scorePairs([['a', 'b']], { maxLength: 16 })).rejects.toThrow(
      /without a reranking head/,
    );
    result.model!.dispose();
  });
});
