import { describe, expect, test } from 'vitest';
import { loadNativeBackend } from '../src/backend/native';
import {
  AdamW,
  adaptedLinear,
  attention,
  type Backend,
  backward,
  clipGradNorm,
  FrozenWeight,
  gelu,
  getBackend,
  keep,
  layerNorm,
  mean,
  memory,
  noGrad,
  ones,
  Philox,
  scope,
  square,
  tensor,
  zeros,
} from '../src/index';

const native = loadNativeBackend().backend;
const backends: [string, Backend][] = [['reference', getBackend('reference')]];
if (native) backends.push(['native', native]);

/** One adapted layer with attention, trained to give zeros. */
class Training {
  readonly losses: number[] = [];
  private readonly rng = new Philox(1);
  private readonly weight: FrozenWeight;
  private readonly A;
  private readonly B;
  private readonly constants;
  private readonly optimiser: AdamW;

  constructor(
    private readonly backend: Backend,
    private readonly tokens: number,
    private readonly dim: number,
    rank: number,
  ) {
    const shape = [dim, dim] as const;
    const w = Float32Array.from(this.normals(dim * dim), (x) => x / Math.sqrt(dim));
    this.weight = FrozenWeight.pack(w, shape, { dtype: 'f32', backend });
    const leaf = { backend, requiresGrad: true };
    this.A = tensor(this.normals(rank * dim), [rank, dim], leaf);
    this.B = tensor(this.normals(dim * rank), [dim, rank], leaf);
    const [gain, shift] = [ones([dim], { backend }), zeros([dim], { backend })];
    const bounds = tensor([0, tokens >> 1, tokens], [3], { dtype: 'i32', backend });
    this.constants = { gain, shift, bounds, rankScale: ones([rank], { backend }) };
    for (const t of Object.values(this.constants)) keep(t);
    this.optimiser = new AdamW(this.parameters(), { lr: 0.01 });
  }

  step(): void {
    const { backend, tokens, dim, weight, A, B } = this;
    const { gain, shift, bounds, rankScale } = this.constants;
    const heads = { heads: 2, kvHeads: 2, headDim: dim / 2, causal: false };
    scope(() => {
      const x = tensor(this.normals(tokens * dim), [tokens, dim], { backend });
      const lowRank = { A, B, rankScale };
      const q = adaptedLinear(layerNorm(x, gain, shift, 1e-5), weight, null, lowRank);
      const h = gelu(attention(q, q, x, bounds, heads));
      const loss = mean(square(adaptedLinear(h, weight, null, lowRank)));
      if (this.losses.length % 3 === 2) noGrad(() => gelu(h));
      backward(loss);
      clipGradNorm(this.parameters(), 1);
      this.optimiser.step();
      this.optimiser.zeroGrad();
      this.losses.push(loss.item());
    });
  }

  result(): number[] {
    return [...this.losses, ...this.A.toArray(), ...this.B.toArray()];
  }

  dispose(): void {
    this.optimiser.dispose();
    this.weight.dispose();
    for (const t of [this.A, this.B, ...Object.values(this.constants)]) t.dispose();
  }

  private parameters() {
    return [
      { name: 'A', tensor: this.A },
      { name: 'B', tensor: this.B },
    ];
  }

  private normals(n: number): number[] {
    return Array.from({ length: n }, () => this.rng.normal());
  }
}

describe.each(backends)('on the %s backend', (_name, backend) => {
  test('live bytes after 50 and after 500 training steps are equal', () => {
    const start = memory(backend).liveBytes;
    const training = new Training(backend, 8, 16, 4);
    for (let i = 0; i < 50; i++) training.step();
    const early = memory(backend);
    for (let i = 0; i < 450; i++) training.step();
    const late = memory(backend);
    expect(late.liveBytes).toBe(early.liveBytes);
    expect(late.liveBuffers).toBe(early.liveBuffers);
    expect(training.losses[499]!).toBeLessThan(training.losses[0]! / 2);
    training.dispose();
    expect(memory(backend).liveBytes).toBe(start);
  });
});

test.skipIf(!native)('twenty training steps give the same bits with 1, 2 and 4 threads', () => {
  const before = native!.threads();
  const results = [1, 2, 4, 2].map((threads) => {
    native!.setThreads(threads);
    const training = new Training(native!, 300, 64, 8);
    for (let i = 0; i < 20; i++) training.step();
    const result = training.result();
    training.dispose();
    return result;
  });
  native!.setThreads(before);
  for (const result of results.slice(1)) {
    expect(result.every((x, i) => Object.is(x, results[0]![i]))).toBe(true);
  }
});
