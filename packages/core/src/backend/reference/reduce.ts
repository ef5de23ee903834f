import { type Call, type ReferenceKernel, statCode } from './call';

function sumRows(c: Call): void {
  const [dt, rows, cols] = [c.arg(0), c.arg(1), c.arg(2)];
  const x = c.input(0, dt, rows * cols);
  const y = c.output(1, statCode(dt), cols);
  const sums = new Float64Array(cols);
  for (let r = 0, i = 0; r < rows; r++) {
    for (let j = 0; j < cols; j++, i++) sums[j] = sums[j]! + x[i]!;
  }
  y.set(sums);
}

function sumCols(c: Call): void {
  const [dt, rows, cols] = [c.arg(0), c.arg(1), c.arg(2)];
  const x = c.input(0, dt, rows * cols);
  const y = c.output(1, statCode(dt), rows);
  for (let r = 0, i = 0; r < rows; r++) {
    let sum = 0;
    for (let j = 0; j < cols; j++, i++) sum += x[i]!;
    y[r] = sum;
  }
}

function sumSquares(c: Call): void {
  const n = c.arg(0);
  const dt = c.realCode(0, n);
  const x = c.input(0, dt, n);
  let sum = 0;
  for (let i = 0; i < n; i++) sum += x[i]! * x[i]!;
  c.output(1, dt, 1)[0] = sum;
}

function softmax(logarithm: boolean): ReferenceKernel {
  return (c) => {
    const [dt, rows, cols] = [c.arg(0), c.arg(1), c.arg(2)];
    const x = c.input(0, dt, rows * cols);
    const y = c.output(1, dt, rows * cols);
    for (let r = 0; r < rows; r++) {
      const base = r * cols;
      let max = Number.NEGATIVE_INFINITY;
      for (let j = 0; j < cols; j++) max = Math.max(max, x[base + j]!);
      let sum = 0;
      for (let j = 0; j < cols; j++) sum += Math.exp(x[base + j]! - max);
      const logSum = Math.log(sum);
      for (let j = 0; j < cols; j++) {
        const shifted = x[base + j]! - max;
        y[base + j] = logarithm ? shifted - logSum : Math.exp(shifted) / sum;
      }
    }
  };
}

/** softmax: dx = y (dy − Σ dy y). log softmax: dx = dy − exp(y) Σ dy. */
function softmaxGrad(logarithm: boolean): ReferenceKernel {
  return (c) => {
    const [dt, rows, cols] = [c.arg(0), c.arg(1), c.arg(2)];
    const dy = c.input(0, dt, rows * cols);
    const y = c.input(1, dt, rows * cols);
    const dx = c.output(2, dt, rows * cols);
    for (let r = 0; r < rows; r++) {
      const base = r * cols;
      let sum = 0;
      for (let j = 0; j < cols; j++)
        sum += logarithm ? dy[base + j]! : dy[base + j]! * y[base + j]!;
      for (let j = 0; j < cols; j++) {
        const i = base + j;
        dx[i] = logarithm ? dy[i]! - Math.exp(y[i]!) * sum : y[i]! * (dy[i]! - sum);
      }
    }
  };
}

/** Mean of each segment's rows; an empty segment gives zeros. */
function segmentMean(c: Call): void {
  const [dt, segments, cols] = [c.arg(0), c.arg(1), c.arg(2)];
  const cu = c.ints(1, segments + 1);
  const x = c.input(0, dt, cu[segments]! * cols);
  const y = c.output(2, statCode(dt), segments * cols);
  const sums = new Float64Array(cols);
  for (let s = 0; s < segments; s++) {
    sums.fill(0);
    const [start, end] = [cu[s]!, cu[s + 1]!];
    for (let r = start; r < end; r++) {
      for (let j = 0; j < cols; j++) sums[j] = sums[j]! + x[r * cols + j]!;
    }
    const count = Math.max(end - start, 1);
    for (let j = 0; j < cols; j++) y[s * cols + j] = sums[j]! / count;
  }
}

function segmentMeanGrad(c: Call): void {
  const [dt, segments, cols] = [c.arg(0), c.arg(1), c.arg(2)];
  const dy = c.input(0, statCode(dt), segments * cols);
  const cu = c.ints(1, segments + 1);
  const dx = c.output(2, dt, cu[segments]! * cols);
  for (let s = 0; s < segments; s++) {
    const count = cu[s + 1]! - cu[s]!;
    for (let r = cu[s]!; r < cu[s + 1]!; r++) {
      for (let j = 0; j < cols; j++) dx[r * cols + j] = dy[s * cols + j]! / count;
    }
  }
}

/** y = x / max(‖x‖, eps); norm holds the divisor. */
function l2Normalize(c: Call): void {
  const [dt, rows, cols, eps] = c.numbers(4);
  const x = c.input(0, dt, rows * cols);
  const y = c.output(1, statCode(dt), rows * cols);
  const norm = c.output(2, statCode(dt), rows);
  for (let r = 0; r < rows; r++) {
    const base = r * cols;
    let sum = 0;
    for (let j = 0; j < cols; j++) sum += x[base + j]! * x[base + j]!;
    const divisor = Math.max(Math.sqrt(sum), eps);
    norm[r] = divisor;
    for (let j = 0; j < cols; j++) y[base + j] = x[base + j]! / divisor;
  }
}

/** dx = (dy − y Σ dy y) / norm; below eps the divisor is constant and only dy / eps remains. */
function l2NormalizeGrad(c: Call): void {
  const [dt, rows, cols, eps] = c.numbers(4);
  const stat = statCode(dt);
  const dy = c.input(0, stat, rows * cols);
  const y = c.input(1, stat, rows * cols);
  const norm = c.input(2, stat, rows);
  const dx = c.output(3, dt, rows * cols);
  for (let r = 0; r < rows; r++) {
    const base = r * cols;
    let dot = 0;
    if (norm[r]! > eps) for (let j = 0; j < cols; j++) dot += dy[base + j]! * y[base + j]!;
    for (let j = 0; j < cols; j++) dx[base + j] = (dy[base + j]! - y[base + j]! * dot) / norm[r]!;
  }
}

export const reduce = {
  sum_rows: sumRows,
  sum_cols: sumCols,
  sum_squares: sumSquares,
  softmax: softmax(false),
  log_softmax: softmax(true),
  softmax_grad: softmaxGrad(false),
  log_softmax_grad: softmaxGrad(true),
  segment_mean: segmentMean,
  segment_mean_grad: segmentMeanGrad,
  l2_normalize: l2Normalize,
  l2_normalize_grad: l2NormalizeGrad,
};
