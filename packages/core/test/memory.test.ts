import { describe, expect, test } from 'vitest';
import { loadNativeBackend } from '../src/backend/native';
import {
  AdamW,
  type Backend,
  backward,
  clipGradNorm,
  FrozenWeight,
  getBackend,
  gelu,
  keep,
  layerNorm,
  adaptedLinear,
  mean,
  memory,
  noGrad,
  ones,
  scope,
  square,
  tensor,
  zeros,
} from '../src/index';
import { Philox } from '../src/rng/philox';

const native = loadNativeBackend().backend;
const backends: [string, Backend][] = [['reference', getBackend('reference')]];
if (native) backends.push(['native', native]);

function normals(rng: Philox, n: number, scale = 1): number[] {
  return Array.from({ length: n }, () => scale * rng.normal());
}

describe.each(backends)('on the %s backend', (_name, backend) => {
  test('live bytes after 50 and after 500 training steps are equal', () => {
    const rng = new Philox(1);
    const [d, r] = [16, 4];
    const start = memory(backend).liveBytes;
    const w = FrozenWeight.pack(Float32Array.from(normals(rng, d * d)), [d, d], {
      dtype: 'f32',
      backend,
    });
    const A = tensor(normals(rng, r * d), [r, d], { backend, requiresGrad: true });
    const B = tensor(normals(rng, d * r), [d, r], { backend, requiresGrad: true });
    const rankScale = keep(ones([r], { backend }));
    const [gain, shift] = [keep(ones([d], { backend })), keep(zeros([d], { backend }))];
    const parameters = [
      { name: 'A', tensor: A },
      { name: 'B', tensor: B },
    ];
    const optimiser = new AdamW(parameters, { lr: 0.01 });
    const losses: number[] = [];
    const step = (): void =>
      scope(() => {
        const x = tensor(normals(rng, 8 * d), [8, d], { backend });
        const lowRank = { A, B, rankScale };
        const h = gelu(adaptedLinear(layerNorm(x, gain, shift, 1e-5), w, null, lowRank));
        const loss = mean(square(adaptedLinear(h, w, null, lowRank)));
        if (losses.length % 3 === 2) noGrad(() => gelu(h));
        backward(loss);
        clipGradNorm(parameters, 1);
        optimiser.step();
        optimiser.zeroGrad();
        losses.push(loss.item());
      });
    for (let i = 0; i < 50; i++) step();
    const early = memory(backend);
    for (let i = 0; i < 450; i++) step();
    const late = memory(backend);
    expect(late.liveBytes).toBe(early.liveBytes);
    expect(late.liveBuffers).toBe(early.liveBuffers);
    expect(losses[499]!).toBeLessThan(losses[0]! / 2);
    optimiser.dispose();
    w.dispose();
    for (const t of [A, B, rankScale, gain, shift]) t.dispose();
    expect(memory(backend).liveBytes).toBe(start);
  });
});
