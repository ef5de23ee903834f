import type { Call } from './call';

/** loss = log Σ exp(logits) − logits[target]; target −1 is ignored. */
function crossEntropy(c: Call): void {
  const [rows, cols] = [c.arg(0), c.arg(1)];
  const dt = c.realCode(0, rows * cols);
  const logits = c.input(0, dt, rows * cols);
  const targets = c.ints(1, rows);
  const loss = c.output(2, dt, rows);
  const lse = c.output(3, dt, rows);
  for (let r = 0; r < rows; r++) {
    const base = r * cols;
    const target = targets[r]!;
    if (target < -1 || target >= cols) c.fail(`target ${target}`, `-1 to ${cols - 1}`);
    let max = Number.NEGATIVE_INFINITY;
    for (let j = 0; j < cols; j++) max = Math.max(max, logits[base + j]!);
    let sum = 0;
    for (let j = 0; j < cols; j++) sum += Math.exp(logits[base + j]! - max);
    const logSum = max + Math.log(sum);
    lse[r] = logSum;
    loss[r] = target < 0 ? 0 : logSum - logits[base + target]!;
  }
}

function crossEntropyGrad(c: Call): void {
  const [rows, cols] = [c.arg(0), c.arg(1)];
  const dt = c.realCode(1, rows * cols);
  const dloss = c.input(0, dt, rows);
  const logits = c.input(1, dt, rows * cols);
  const targets = c.ints(2, rows);
  const lse = c.input(3, dt, rows);
  const dlogits = c.output(4, dt, rows * cols);
  for (let r = 0; r < rows; r++) {
    for (let j = 0; j < cols; j++) {
      const i = r * cols + j;
      const p = Math.exp(logits[i]! - lse[r]!) - (j === targets[r] ? 1 : 0);
      dlogits[i] = targets[r]! < 0 ? 0 : dloss[r]! * p;
    }
  }
}

export const loss = { cross_entropy: crossEntropy, cross_entropy_grad: crossEntropyGrad };
