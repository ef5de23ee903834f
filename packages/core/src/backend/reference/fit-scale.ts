import { bf16Bits, bf16ToFloat32 } from '../../bf16';

/** The 16 values that 4 bits stand for, in units of the group's scale (native/cpu/gemm/quant/codebook.h). */
export const codes = [-127, -99, -78, -61, -46, -33, -21, -9, 2, 13, 24, 36, 49, 64, 82, 105];

/** Places of the group's extreme to try, in 1/128 of a code: 0.85 to 1.15 times either end of the codes. */
const places = [-18694, -17475, -16256, -15037, -13818, 11424, 12432, 13440, 14448, 15456];

/** To the nearest integer, ties to even. */
export function roundEven(v: number): number {
  const r = Math.round(v);
  return r - v === 0.5 && r % 2 !== 0 ? r - 1 : r;
}

/** The code nearest to v, the lower one of two. */
export function nearestCode(v: number): number {
  let index = 0;
  while (index < 15 && v > (codes[index]! + codes[index + 1]!) / 2) index++;
  return codes[index]!;
}

/**
 * The scale of w[start, end): for codes c the squared error is least with Σ w c / Σ c², and of some choices of c,
 * by where the extreme weight comes to lie, that with the largest (Σ w c)² / Σ c² leaves the least. Sums are of
 * integers, in units of the extreme / 32767.
 */
export function fitScale(w: ArrayLike<number>, start: number, end: number): number {
  let extreme = 0;
  for (let i = start; i < end; i++) {
    const v = Math.fround(w[i]!);
    if (Math.abs(v) > Math.abs(extreme) || (v > 0 && v === -extreme)) extreme = v;
  }
  const unit = Math.fround(extreme / 32767);
  const units: number[] = [];
  for (let i = start; i < end; i++) units.push(roundEven(Math.fround(Math.fround(w[i]!) / unit)));
  let [best, ratio] = [-1, 0];
  for (const place of places) {
    let [product, square] = [0, 0];
    for (const u of units) {
      const code = nearestCode(Math.floor((u * place + (1 << 14)) / 32768) / 128);
      product += u * code;
      square += code * code;
    }
    const score = (product * product) / square;
    if (score > best) [best, ratio] = [score, product / square];
  }
  const scale = Math.fround(ratio * (extreme / 32767));
  return bf16ToFloat32(Uint16Array.of(bf16Bits(scale)))[0]!;
}
