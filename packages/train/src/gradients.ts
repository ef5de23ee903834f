import { clipGradNorm } from '@unimoer/core';
import type { TaskParameter } from './model';
import type { OptimizerConfig } from './types';

/**
 * Clips the gradient norm, over all parameters or over each task's own and the shared ones apart.
 * Returns the norm before clipping, over all.
 */
export function clipGradients(
  parameters: readonly TaskParameter[],
  { clip, clipScope }: Pick<OptimizerConfig, 'clip' | 'clipScope'>,
): number {
  const limit = clip ?? Number.POSITIVE_INFINITY;
  if (clipScope === 'global') return clipGradNorm([...parameters], limit);
  const norms = (['embedding', 'reranking', 'shared'] as const).map((task) => {
    const own = parameters.filter((parameter) => parameter.task === task);
    return own.length > 0 ? clipGradNorm(own, limit) : 0;
  });
  return Math.hypot(...norms);
}
