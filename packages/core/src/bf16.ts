/** bf16: the upper half of a float32, rounded to nearest, ties to even; NaN stays a quiet NaN. */

const word = new Uint32Array(1);
const real = new Float32Array(word.buffer);

/** Bits of one number in bf16. */
export function bf16Bits(value: number): number {
  real[0] = value;
  const bits = word[0]!;
  if ((bits & 0x7fffffff) > 0x7f800000) return (bits >>> 16) | 0x40;
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff;
}

/** Numbers to bf16 bits. */
export function float32ToBf16(data: ArrayLike<number>, out?: Uint16Array): Uint16Array {
  const n = data.length;
  const bits = out ?? new Uint16Array(n);
  if (data instanceof Float32Array) {
    const words = new Uint32Array(data.buffer, data.byteOffset, n);
    for (let i = 0; i < n; i++) {
      const w = words[i]!;
      bits[i] =
        (w & 0x7fffffff) > 0x7f800000 ? (w >>> 16) | 0x40 : (w + 0x7fff + ((w >>> 16) & 1)) >>> 16;
    }
    return bits;
  }
  for (let i = 0; i < n; i++) bits[i] = bf16Bits(data[i]!);
  return bits;
}

/** bf16 bits to float32, exactly. */
export function bf16ToFloat32(bits: Uint16Array): Float32Array {
  const out = new Float32Array(bits.length);
  const words = new Uint32Array(out.buffer);
  for (let i = 0; i < bits.length; i++) words[i] = bits[i]! << 16;
  return out;
}
