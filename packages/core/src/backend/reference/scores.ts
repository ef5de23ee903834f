import { type Call, type Reals, statCode } from './call';
import { multiply, oriented } from './gemm';

/** loss and log-sum-exp of each row of scores; target −1 is ignored. */
function losses(
  c: Call,
  scores: Float64Array,
  targets: Int32Array,
  cols: number,
  loss: Reals,
  lse: Reals,
): void {
  for (const [r, target] of targets.entries()) {
    if (target < -1 || target >= cols) c.fail(`target ${target}`, `-1 to ${cols - 1}`);
    const row = scores.subarray(r * cols, (r + 1) * cols);
    const max = row.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
    const total = max + Math.log(row.reduce((sum, s) => sum + Math.exp(s - max), 0));
    lse[r] = total;
    loss[r] = target < 0 ? 0 : total - row[target]!;
  }
}

/** Turns scores into their gradients, dloss (softmax − one-hot). */
function slopes(
  scores: Float64Array,
  targets: Int32Array,
  cols: number,
  dloss: Reals,
  lse: Reals,
): void {
  for (const [r, target] of targets.entries()) {
    for (let j = 0, i = r * cols; j < cols; j++, i++) {
      const p = Math.exp(scores[i]! - lse[r]!) - (j === target ? 1 : 0);
      scores[i] = target < 0 ? 0 : dloss[r]! * p;
    }
  }
}

function vocabularyCrossEntropy(c: Call): void {
  const [dt, dtPack, n, v, k] = c.numbers(5);
  const x = c.input(0, dt, n * k);
  const w = c.input(1, dtPack, v * k);
  const stat = statCode(dt);
  const logits = multiply(x, w, n, v, k);
  losses(c, logits, c.ints(2, n), v, c.output(3, stat, n), c.output(4, stat, n));
}

function vocabularyCrossEntropyGrad(c: Call): void {
  const [dt, dtPack, n, v, k] = c.numbers(5);
  const stat = statCode(dt);
  const x = c.input(1, dt, n * k);
  const logits = multiply(x, c.input(2, dtPack, v * k), n, v, k);
  slopes(logits, c.ints(4, n), v, c.input(0, stat, n), c.input(5, stat, n));
  c.output(6, dt, n * k).set(multiply(logits, c.input(3, dtPack, v * k), n, k, v));
}

/** scale q pᵀ + mask. */
function similarities(q: Reals, p: Reals, mask: Reals | null, args: readonly number[]) {
  const [, n, m, k, scale] = args as [number, number, number, number, number];
  const scores = multiply(q, p, n, m, k);
  for (let i = 0; i < scores.length; i++) scores[i] = scores[i]! * scale + (mask ? mask[i]! : 0);
  return scores;
}

function contrastive(c: Call): void {
  const [dt, n, m, k] = c.numbers(4);
  const stat = statCode(dt);
  const mask = c.optional(3, stat, n * m);
  const scores = similarities(c.input(0, dt, n * k), c.input(1, dt, m * k), mask, c.args);
  losses(c, scores, c.ints(2, n), m, c.output(4, stat, n), c.output(5, stat, n));
}

function contrastiveGrad(c: Call): void {
  const [dt, n, m, k, scale] = c.numbers(5);
  const stat = statCode(dt);
  const [q, p] = [c.input(1, dt, n * k), c.input(2, dt, m * k)];
  const scores = similarities(q, p, c.optional(4, stat, n * m), c.args);
  slopes(scores, c.ints(3, n), m, c.input(0, stat, n), c.input(5, stat, n));
  for (let i = 0; i < scores.length; i++) scores[i] = scores[i]! * scale;
  c.optionalOutput(6, dt, n * k)?.set(multiply(scores, oriented(p, k, m, true), n, k, m));
  c.optionalOutput(7, dt, m * k)?.set(
    multiply(oriented(scores, m, n, true), oriented(q, k, n, true), m, k, n),
  );
}

export const scores = {
  vocabulary_cross_entropy: vocabularyCrossEntropy,
  vocabulary_cross_entropy_grad: vocabularyCrossEntropyGrad,
  contrastive,
  contrastive_grad: contrastiveGrad,
};
