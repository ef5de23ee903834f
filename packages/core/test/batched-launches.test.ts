import { afterAll, expect, it } from 'vitest';
import {
  AdamW,
  backward,
  concat,
  getBackend,
  mul,
  type Parameter,
  sum,
  tensor,
  zeros,
} from '../src/index';

const backends = (['native', 'reference'] as const).flatMap((name) => {
  try {
    return [getBackend(name)];
  } catch {
    console.warn(`skipped on ${name}: it does not load here`);
    return [];
  }
});
const made: { dispose(): void }[] = [];
afterAll(() => {
  for (const x of made) x.dispose();
});

/** Eleven parameters of sizes 1 to 11 with gradients; every third belongs to the group `slow`. */
function parameters(backend = backends[0]!): Parameter[] {
  return Array.from({ length: 11 }, (_, i) => {
    const values = Array.from({ length: i + 1 }, (_, j) => Math.sin(3 * i + j));
    const p = tensor(values, [i + 1], { backend, requiresGrad: true });
    p.grad = tensor(
      values.map((v) => v * v - 0.3),
      [i + 1],
      { backend },
    );
    made.push(p, p.grad);
    return { name: `p${i}`, tensor: p, ...(i % 3 === 0 ? { group: 'slow' } : {}) };
  });
}

it.each(backends)('AdamW updates many tensors as it updates each alone ($name)', (backend) => {
  const options = { lr: 1e-2, groups: { slow: { lr: 1e-3, weightDecay: 0 } } };
  const together = parameters(backend);
  const alone = parameters(backend);
  const all = new AdamW(together, options);
  const each = alone.map((p) => new AdamW([p], options));
  made.push(all, ...each);
  for (let step = 0; step < 3; step++) {
    all.step();
    for (const optimizer of each) optimizer.step();
  }
  together.forEach((p, i) => {
    expect(p.tensor.toArray()).toEqual(alone[i]!.tensor.toArray());
    expect(p.tensor.toArray()).not.toEqual(parameters(backend)[i]!.tensor.toArray());
  });
});

it.each(backends)(
  'concat joins more parts than a launch takes, and gives each its gradient ($name)',
  (backend) => {
    const parts = Array.from({ length: 50 }, (_, i) =>
      tensor([i, i + 0.5], [2, 1], { backend, requiresGrad: i !== 30 }),
    );
    const joined = concat(parts, -1);
    const weights = tensor(
      Array.from({ length: 100 }, (_, i) => i),
      [2, 50],
      { backend },
    );
    const loss = sum(mul(joined, weights));
    made.push(...parts, joined, weights, loss);
    expect(joined.toArray()).toEqual(
      Float32Array.from({ length: 100 }, (_, i) => (i < 50 ? i : i - 49.5)),
    );
    backward(loss);
    parts.forEach((part, i) => {
      expect(part.grad?.toArray()).toEqual(i === 30 ? undefined : Float32Array.of(i, 50 + i));
      if (part.grad) made.push(part.grad);
    });
    const empty = concat([zeros([0, 3], { backend }), zeros([0, 2], { backend })], -1);
    expect(empty.shape).toEqual([0, 5]);
  },
);
