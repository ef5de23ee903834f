import { philoxBlock } from './philox-block';

/** Where a generator stands; plain JSON. */
export interface PhiloxState {
  seed: string;
  stream: number;
  /** Numbers of 32 bits drawn so far. */
  drawn: number;
}

/**
 * Counter-based generator Philox4x32-10 (Salmon et al. 2011). Streams of one seed are independent, and
 * its state is a count, so results do not depend on the order in which streams are used.
 */
export class Philox {
  private readonly key: bigint;
  private readonly key0: number;
  private readonly key1: number;
  private readonly words = new Uint32Array(4);
  private drawn = 0;

  constructor(
    seed: bigint | number,
    private readonly stream = 0,
  ) {
    this.key = BigInt.asUintN(64, BigInt(seed));
    this.key0 = Number(this.key & 0xffffffffn);
    this.key1 = Number(this.key >> 32n);
  }

  static fromState(state: PhiloxState): Philox {
    const rng = new Philox(BigInt(state.seed), state.stream);
    rng.drawn = state.drawn;
    if (state.drawn % 4 !== 0) rng.fill(Math.floor(state.drawn / 4));
    return rng;
  }

  state(): PhiloxState {
    return { seed: this.key.toString(), stream: this.stream, drawn: this.drawn };
  }

  nextUint32(): number {
    const lane = this.drawn % 4;
    if (lane === 0) this.fill(this.drawn / 4);
    this.drawn++;
    return this.words[lane]!;
  }

  /** Uniform in [0, 1) with 24 bits. */
  uniform(): number {
    return (this.nextUint32() >>> 8) / 2 ** 24;
  }

  /** Standard normal by Box and Muller; draws two numbers. */
  normal(): number {
    const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()));
    return radius * Math.cos(2 * Math.PI * this.uniform());
  }

  /** Uniform integer in [0, n), n up to 2³²; unbiased by rejection. */
  int(n: number): number {
    if (!(Number.isInteger(n) && n > 0 && n <= 2 ** 32)) {
      throw new RangeError(`Philox.int: got ${n}, expected an integer from 1 to 2^32`);
    }
    const limit = 2 ** 32 - (2 ** 32 % n);
    let word = this.nextUint32();
    while (word >= limit) word = this.nextUint32();
    return word % n;
  }

  /** Shuffles in place (Fisher and Yates) and returns the array. */
  shuffle<T>(items: T[]): T[] {
    for (let i = items.length - 1; i > 0; i--) {
      const j = this.int(i + 1);
      [items[i], items[j]] = [items[j]!, items[i]!];
    }
    return items;
  }

  private fill(block: number): void {
    const high = Math.floor(block / 2 ** 32);
    const streamHigh = Math.floor(this.stream / 2 ** 32);
    const { key0, key1, stream } = this;
    philoxBlock(this.words, block >>> 0, high, stream >>> 0, streamHigh, key0, key1);
  }
}
