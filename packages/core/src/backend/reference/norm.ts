import { type Call, type Reals, statCode } from './call';

/** s = x + residual, rounded as the sum buffer is; without a residual it is x. */
function withResidual(x: Reals, residual: Reals | null, sum: Reals | null): Reals {
  if (residual === null) {
    sum?.set(x);
    return x;
  }
  const s = x.slice();
  for (let i = 0; i < s.length; i++) s[i] = x[i]! + residual[i]!;
  sum?.set(s);
  return s;
}

function layerNorm(c: Call): void {
  const [dt, rows, cols, eps] = c.numbers(4);
  const stat = statCode(dt);
  const x = c.input(0, dt, rows * cols);
  const s = withResidual(x, c.optional(1, dt, rows * cols), c.optionalOutput(5, dt, rows * cols));
  const w = c.optional(2, stat, cols);
  const b = c.optional(3, stat, cols);
  const y = c.output(4, dt, rows * cols);
  const mean = c.output(6, stat, rows);
  const rstd = c.output(7, stat, rows);
  for (let r = 0; r < rows; r++) {
    const base = r * cols;
    let sum = 0;
    for (let j = 0; j < cols; j++) sum += s[base + j]!;
    const m = sum / cols;
    let variance = 0;
    for (let j = 0; j < cols; j++) variance += (s[base + j]! - m) ** 2;
    const inverse = 1 / Math.sqrt(variance / cols + eps);
    mean[r] = m;
    rstd[r] = inverse;
    for (let j = 0; j < cols; j++) {
      y[base + j] = (s[base + j]! - m) * inverse * (w ? w[j]! : 1) + (b ? b[j]! : 0);
    }
  }
}

/** With x̂ = (s − mean) rstd and g = dy w: dx = rstd (g − mean(g) − x̂ mean(g x̂)). */
function layerNormGrad(c: Call): void {
  const [dt, rows, cols] = c.numbers(3);
  const stat = statCode(dt);
  const dy = c.input(0, dt, rows * cols);
  const s = c.input(1, dt, rows * cols);
  const w = c.optional(2, stat, cols);
  const mean = c.input(3, stat, rows);
  const rstd = c.input(4, stat, rows);
  const dx = c.output(5, dt, rows * cols);
  const dw = new Float64Array(cols);
  const db = new Float64Array(cols);
  for (let r = 0; r < rows; r++) {
    const base = r * cols;
    let sumG = 0;
    let sumGX = 0;
    for (let j = 0; j < cols; j++) {
      const hat = (s[base + j]! - mean[r]!) * rstd[r]!;
      const g = dy[base + j]! * (w ? w[j]! : 1);
      sumG += g;
      sumGX += g * hat;
      dw[j] = dw[j]! + dy[base + j]! * hat;
      db[j] = db[j]! + dy[base + j]!;
    }
    for (let j = 0; j < cols; j++) {
      const hat = (s[base + j]! - mean[r]!) * rstd[r]!;
      const g = dy[base + j]! * (w ? w[j]! : 1);
      dx[base + j] = rstd[r]! * (g - sumG / cols - (hat * sumGX) / cols);
    }
  }
  c.optionalOutput(6, stat, cols)?.set(dw);
  c.optionalOutput(7, stat, cols)?.set(db);
}

function rmsNorm(c: Call): void {
  const [dt, rows, cols, eps] = c.numbers(4);
  const stat = statCode(dt);
  const x = c.input(0, dt, rows * cols);
  const s = withResidual(x, c.optional(1, dt, rows * cols), c.optionalOutput(4, dt, rows * cols));
  const w = c.optional(2, stat, cols);
  const y = c.output(3, dt, rows * cols);
  const rstd = c.output(5, stat, rows);
  for (let r = 0; r < rows; r++) {
    const base = r * cols;
    let sum = 0;
    for (let j = 0; j < cols; j++) sum += s[base + j]! * s[base + j]!;
    const inverse = 1 / Math.sqrt(sum / cols + eps);
    rstd[r] = inverse;
    for (let j = 0; j < cols; j++) y[base + j] = s[base + j]! * inverse * (w ? w[j]! : 1);
  }
}

/** With x̂ = s rstd and g = dy w: dx = rstd (g − x̂ mean(g x̂)) + dsum. */
function rmsNormGrad(c: Call): void {
  const [dt, rows, cols] = c.numbers(3);
  const stat = statCode(dt);
  const dy = c.input(0, dt, rows * cols);
  const s = c.input(1, dt, rows * cols);
  const w = c.optional(2, stat, cols);
  const rstd = c.input(3, stat, rows);
  const dsum = c.optional(4, dt, rows * cols);
  const dx = c.output(5, dt, rows * cols);
  const dw = new Float64Array(cols);
  for (let r = 0; r < rows; r++) {
    const base = r * cols;
    let dot = 0;
    for (let j = 0; j < cols; j++) {
      const hat = s[base + j]! * rstd[r]!;
      dot += dy[base + j]! * (w ? w[j]! : 1) * hat;
      dw[j] = dw[j]! + dy[base + j]! * hat;
    }
    for (let j = 0; j < cols; j++) {
      const hat = s[base + j]! * rstd[r]!;
      const g = dy[base + j]! * (w ? w[j]! : 1);
      dx[base + j] = rstd[r]! * (g - (hat * dot) / cols) + (dsum ? dsum[base + j]! : 0);
    }
  }
  c.optionalOutput(6, stat, cols)?.set(dw);
}

export const norm = {
  layer_norm: layerNorm,
  layer_norm_grad: layerNormGrad,
  rms_norm: rmsNorm,
  rms_norm_grad: rmsNormGrad,
};
