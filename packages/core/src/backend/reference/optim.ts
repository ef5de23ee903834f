import { launchLimits } from '../kernels';
import type { Call } from './call';

/** AdamW with decoupled decay (Loshchilov & Hutter 2019), in the order of torch.optim.AdamW; up to eight tensors. */
function adamw(c: Call): void {
  const [lr, b1, b2, eps, decay, step, gradScale] = c.numbers(7);
  const stepSize = lr / (1 - b1 ** step);
  const root2 = Math.sqrt(1 - b2 ** step);
  for (let t = 0; t < launchLimits.adamwTensors; t++) {
    const n = c.arg(7 + t);
    if (n === 0) continue;
    const dt = c.realCode(4 * t, n);
    const p = c.output(4 * t, dt, n);
    const g = c.input(4 * t + 1, dt, n);
    const m = c.output(4 * t + 2, dt, n);
    const v = c.output(4 * t + 3, dt, n);
    for (let i = 0; i < n; i++) {
      const grad = g[i]! * gradScale;
      m[i] = m[i]! + (grad - m[i]!) * (1 - b1);
      v[i] = v[i]! * b2 + grad * grad * (1 - b2);
      p[i] = p[i]! * (1 - lr * decay) - (stepSize * m[i]!) / (Math.sqrt(v[i]!) / root2 + eps);
    }
  }
}

export const optim = { adamw };
