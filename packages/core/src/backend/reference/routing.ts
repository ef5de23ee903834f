import type { Call } from './call';

/**
 * Sparsegen (Laha et al. 2018): p = max(0, z − τ) / (1 − λ), τ such that each row sums to one.
 * It is sparsemax of z / (1 − λ).
 */
function sparsegen(c: Call): void {
  const [rows, cols] = [c.arg(0), c.arg(1)];
  const dt = c.realCode(0, rows * cols);
  const z = c.input(0, dt, rows * cols);
  const budget = 1 - c.input(1, dt, 1)[0]!;
  if (!(budget > 0)) c.fail(`lambda ${1 - budget}`, 'a value below 1');
  const p = c.output(2, dt, rows * cols);
  for (let r = 0; r < rows; r++) {
    const row = z.subarray(r * cols, (r + 1) * cols);
    const sorted = Float64Array.from(row).sort().reverse();
    let sum = 0;
    let tau = 0;
    for (let k = 1; k <= cols; k++) {
      sum += sorted[k - 1]!;
      const candidate = (sum - budget) / k;
      if (sorted[k - 1]! > candidate) tau = candidate;
    }
    for (let j = 0; j < cols; j++) p[r * cols + j] = Math.max(0, row[j]! - tau) / budget;
  }
}

/** On the support S: dz = (dp − mean_S dp) / (1 − λ), dλ = Σ dp (p − 1/|S|) / (1 − λ). */
function sparsegenGrad(c: Call): void {
  const [rows, cols] = [c.arg(0), c.arg(1)];
  const dt = c.realCode(1, rows * cols);
  const dp = c.input(0, dt, rows * cols);
  const p = c.input(1, dt, rows * cols);
  const budget = 1 - c.input(2, dt, 1)[0]!;
  const dz = c.output(3, dt, rows * cols);
  let dLambda = 0;
  for (let r = 0; r < rows; r++) {
    let support = 0;
    let sum = 0;
    for (let j = 0; j < cols; j++) {
      if (p[r * cols + j]! <= 0) continue;
      support++;
      sum += dp[r * cols + j]!;
    }
    for (let j = 0; j < cols; j++) {
      const i = r * cols + j;
      const inside = p[i]! > 0;
      dz[i] = inside ? (dp[i]! - sum / support) / budget : 0;
      if (inside) dLambda += (dp[i]! * (p[i]! - 1 / support)) / budget;
    }
  }
  const out = c.optionalOutput(4, dt, 1);
  if (out) out[0] = dLambda;
}

/** Ones at the k largest entries of each row; ties go to the lower index. */
function topKMask(c: Call): void {
  const [rows, cols, k] = [c.arg(0), c.arg(1), c.arg(2)];
  const dt = c.realCode(0, rows * cols);
  const p = c.input(0, dt, rows * cols);
  const mask = c.output(1, dt, rows * cols);
  for (let r = 0; r < rows; r++) {
    for (let j = 0; j < cols; j++) {
      const x = p[r * cols + j]!;
      let ahead = 0;
      for (let i = 0; i < cols; i++) {
        const other = p[r * cols + i]!;
        if (other > x || (other === x && i < j)) ahead++;
      }
      mask[r * cols + j] = ahead < k ? 1 : 0;
    }
  }
}

export const routing = { sparsegen, sparsegen_grad: sparsegenGrad, top_k_mask: topKMask };
