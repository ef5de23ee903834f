import type { Handle } from '../../backend/types';
import { type DType, dtypeCode } from '../../dtype';
import type { Tensor } from '../../tensor/tensor';
import type { FrozenWeight } from '../frozen-weight';
import { expand } from './quantized';

/** Code of the packs that `withPack` hands out for activations of a dtype. */
export function packCode(w: FrozenWeight, dtype: DType): number {
  return dtypeCode[w.dtype === 'int8' || w.dtype === 'int4' ? dtype : w.dtype];
}

/**
 * Calls fn with the handles of the weights' packs for x Wᵀ, or for dy W if reverse, and activations of a dtype.
 * `stored` is what each weight holds for that direction, or what the tape kept of it, or null for handle 0; a
 * quantised weight is dequantised into a pack that lives for the call.
 */
export function withPacks<T>(
  weights: readonly FrozenWeight[],
  stored: readonly (Tensor | null)[],
  dtype: DType,
  reverse: boolean,
  fn: (packs: readonly Handle[]) => T,
): T {
  const temporary: Tensor[] = [];
  try {
    const packs = weights.map(({ quantization, outFeatures: n, inFeatures: k }, i) => {
      const tensor = stored[i] ?? null;
      if (tensor === null || quantization === null) return tensor?.handle ?? 0;
      const pack = expand(tensor, quantization, n, k, dtype, reverse);
      temporary.push(pack);
      return pack.handle;
    });
    return fn(packs);
  } finally {
    for (const pack of temporary) pack.dispose();
  }
}
