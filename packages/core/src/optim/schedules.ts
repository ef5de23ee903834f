/** Factor on the learning rate at a step, counted from 0. */
export type Schedule = (step: number) => number;

/** Steps of warm-up and in all. */
export interface WarmupOptions {
  warmup: number;
  total: number;
}

/** Rises from 0 over the warm-up, then falls linearly to 0 at total. */
export function linearWarmupDecay({ warmup, total }: WarmupOptions): Schedule {
  return (step) =>
    step < warmup
      ? step / Math.max(1, warmup)
      : Math.max(0, (total - step) / Math.max(1, total - warmup));
}

/** Rises from 0 over the warm-up, then falls along half a cosine to 0 at total. */
export function cosineWarmup({ warmup, total }: WarmupOptions): Schedule {
  return (step) => {
    if (step < warmup) return step / Math.max(1, warmup);
    const progress = Math.min(1, (step - warmup) / Math.max(1, total - warmup));
    return 0.5 * (1 + Math.cos(Math.PI * progress));
  };
}

/** Always 1. */
export function constant(): Schedule {
  return () => 1;
}
