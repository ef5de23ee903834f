import { resolve } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { trainingModel, trainRun } from '../src/index';
import { average, tinyModel, toyConfig, toyData, toyDeps } from './toy';

const folder = resolve(import.meta.dirname, '../../../fixtures/tiny-qwen3');
const model = tinyModel('f32', folder);
afterAll(() => model.dispose());

describe('a decoder with a yes/no read-out', () => {
  const base = toyConfig('joint');
  const config = {
    ...base,
    embedding: { ...base.embedding, maxLength: 32 },
    reranking: { ...base.reranking, maxLength: 512 },
  };

  it('trains and scores its two logits instead of a head', async () => {
    expect(trainingModel(model).backbone.yesNoLogits).toBeDefined();
    const before = await model.score([['a b', 'a b c']], { raw: true });
    const result = await trainRun({ ...config, arm: { ...config.arm, tasks: [] } }, toyDeps(model));
    const scores = await result.model!.scorePairs([['a b', 'a b c']], { maxLength: 512 });
    expect(scores[0]).toBeCloseTo(before.scores[0]!, 5);
    result.model!.dispose();
  });

  it.each(['pointwise', 'group'] as const)('has losses that fall: %s', async (loss) => {
    const reranking = { ...config.reranking, queries: 2, loss };
    const embedding = { ...config.embedding, queries: 12 };
    const { summary, model: learned } = await trainRun(
      { ...config, steps: 32, embedding, reranking },
      toyDeps(model, { data: toyData(12) }),
    );
    expect(summary.parameterGroups).not.toHaveProperty('head');
    for (const key of ['embeddingLoss', 'rerankingLoss'] as const) {
      const losses = summary.curve.map((metrics) => metrics[key]);
      expect(average(losses.slice(-8)), key).toBeLessThan(average(losses.slice(0, 8)));
    }
    learned!.dispose();
  });

  it('trains in bf16 along the losses of f32', async () => {
    const half = tinyModel('bf16', folder);
    const run = async (backbone: typeof model) => {
      const { summary, model: learned } = await trainRun(
        { ...config, steps: 3 },
        toyDeps(backbone, { data: toyData(12) }),
      );
      learned!.dispose();
      return summary.curve;
    };
    const [full, rounded] = [await run(model), await run(half)];
    half.dispose();
    rounded.forEach((metrics, step) => {
      for (const key of ['embeddingLoss', 'rerankingLoss'] as const) {
        // 2^-8 in every activation, in a handful of layers.
        expect(Math.abs(metrics[key]! / full[step]![key]! - 1), `${key} ${step}`).toBeLessThan(
          0.05,
        );
      }
    });
  });
});
