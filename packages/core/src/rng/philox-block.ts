/** Philox4x32-10 (Salmon et al. 2011): ten rounds over a 128-bit counter under a 64-bit key. */

const m0 = 0xd2511f53;
const m1 = 0xcd9e8d57;
const w0 = 0x9e3779b9;
const w1 = 0xbb67ae85;

/** High 32 bits of the product of two 32-bit words. */
function mulHigh(a: number, b: number): number {
  const ah = a >>> 16;
  const al = a & 0xffff;
  const bh = b >>> 16;
  const bl = b & 0xffff;
  const low = al * bl;
  const mid1 = ah * bl + (low >>> 16);
  const mid2 = al * bh + (mid1 & 0xffff);
  return (ah * bh + Math.floor(mid1 / 0x10000) + Math.floor(mid2 / 0x10000)) >>> 0;
}

/** Writes the four words of one block into out. */
export function philoxBlock(
  out: Uint32Array,
  c0: number,
  c1: number,
  c2: number,
  c3: number,
  k0: number,
  k1: number,
): void {
  let x0 = c0 >>> 0;
  let x1 = c1 >>> 0;
  let x2 = c2 >>> 0;
  let x3 = c3 >>> 0;
  let a = k0 >>> 0;
  let b = k1 >>> 0;
  for (let round = 0; round < 10; round++) {
    const high0 = mulHigh(m0, x0);
    const high1 = mulHigh(m1, x2);
    const low0 = Math.imul(m0, x0) >>> 0;
    const low1 = Math.imul(m1, x2) >>> 0;
    x0 = (high1 ^ x1 ^ a) >>> 0;
    x1 = low1;
    x2 = (high0 ^ x3 ^ b) >>> 0;
    x3 = low0;
    a = (a + w0) >>> 0;
    b = (b + w1) >>> 0;
  }
  out[0] = x0;
  out[1] = x1;
  out[2] = x2;
  out[3] = x3;
}
