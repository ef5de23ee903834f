import type { Call } from './call';

/** AdamW with decoupled decay (Loshchilov & Hutter 2019), in the order of torch.optim.AdamW. */
function adamw(c: Call): void {
  const [n, lr, b1, b2, eps, decay, step, gradScale] = c.numbers(8);
  const dt = c.realCode(0, n);
  const p = c.output(0, dt, n);
  const g = c.input(1, dt, n);
  const m = c.output(2, dt, n);
  const v = c.output(3, dt, n);
  const stepSize = lr / (1 - b1 ** step);
  const root2 = Math.sqrt(1 - b2 ** step);
  for (let i = 0; i < n; i++) {
    const grad = g[i]! * gradScale;
    m[i] = m[i]! + (grad - m[i]!) * (1 - b1);
    v[i] = v[i]! * b2 + grad * grad * (1 - b2);
    p[i] = p[i]! * (1 - lr * decay) - (stepSize * m[i]!) / (Math.sqrt(v[i]!) / root2 + eps);
  }
}

export const optim = { adamw };
