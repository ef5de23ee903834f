import { type Call, statCode } from './call';

/** cos and sin of the angle of one token and frequency; the angle is rounded to f32. */
function turn(position: number, frequency: number): [cos: number, sin: number] {
  const angle = Math.fround(position * frequency);
  return [Math.cos(angle), Math.sin(angle)];
}

/** RMSNorm of each head, then rotation of its halves. */
function normRope(c: Call): void {
  const [dt, tokens, heads, dim, eps] = c.numbers(5);
  const [stat, half] = [statCode(dt), dim / 2];
  const x = c.input(0, dt, tokens * heads * dim);
  const w = c.input(1, stat, dim);
  const positions = c.ints(2, tokens);
  const freq = c.input(3, 0, half);
  const y = c.output(4, dt, x.length);
  const rstd = c.output(5, stat, tokens * heads);
  for (let r = 0; r < tokens * heads; r++) {
    const at = r * dim;
    let sum = 0;
    for (let i = 0; i < dim; i++) sum += x[at + i]! ** 2;
    const inverse = 1 / Math.sqrt(sum / dim + eps);
    rstd[r] = inverse;
    for (let i = 0; i < half; i++) {
      const [cos, sin] = turn(positions[Math.floor(r / heads)]!, freq[i]!);
      const a = x[at + i]! * inverse * w[i]!;
      const b = x[at + half + i]! * inverse * w[half + i]!;
      y[at + i] = a * cos - b * sin;
      y[at + half + i] = b * cos + a * sin;
    }
  }
}

/** With g the gradient rotated back and x̂ = x rstd: dw = Σ g x̂, dx = rstd (g w − x̂ mean(g w x̂)). */
function normRopeGrad(c: Call): void {
  const [dt, tokens, heads, dim] = c.numbers(4);
  const [stat, half] = [statCode(dt), dim / 2];
  const dy = c.input(0, dt, tokens * heads * dim);
  const x = c.input(1, dt, dy.length);
  const w = c.input(2, stat, dim);
  const rstd = c.input(3, stat, tokens * heads);
  const positions = c.ints(4, tokens);
  const freq = c.input(5, 0, half);
  const dx = c.output(6, dt, dy.length);
  const dw = new Float64Array(dim);
  const g = new Float64Array(dim);
  for (let r = 0; r < tokens * heads; r++) {
    const at = r * dim;
    for (let i = 0; i < half; i++) {
      const [cos, sin] = turn(positions[Math.floor(r / heads)]!, freq[i]!);
      g[i] = dy[at + i]! * cos + dy[at + half + i]! * sin;
      g[half + i] = dy[at + half + i]! * cos - dy[at + i]! * sin;
    }
    let dot = 0;
    for (let i = 0; i < dim; i++) {
      const hat = x[at + i]! * rstd[r]!;
      dot += g[i]! * w[i]! * hat;
      dw[i] = dw[i]! + g[i]! * hat;
    }
    for (let i = 0; i < dim; i++) {
      dx[at + i] = rstd[r]! * (g[i]! * w[i]! - (x[at + i]! * rstd[r]! * dot) / dim);
    }
  }
  c.optionalOutput(7, stat, dim)?.set(dw);
}

export const normRopeFamily = { norm_rope: normRope, norm_rope_grad: normRopeGrad };
