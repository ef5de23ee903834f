/** One kernel call of the reference backend: typed views of its buffers; bf16 is widened on the way in and rounded on the way out. */
import { bf16ToFloat32, float32ToBf16 } from '../../bf16';
import { BackendError } from '../../errors';

/** Numbers that kernels compute on. */
export type Reals = Float32Array | Float64Array | Int32Array;

/** N numbers. */
type Numbers<N extends number, Taken extends number[] = []> = Taken['length'] extends N
  ? Taken
  : Numbers<N, [...Taken, number]>;

const bytesOf = [4, 2, 4, 8] as const;

export class Call {
  private readonly results: { buffer: ArrayBuffer; data: Float32Array }[] = [];

  constructor(
    readonly kernel: string,
    private readonly buffers: readonly (ArrayBuffer | null)[],
    readonly args: readonly number[],
  ) {}

  /** Argument i. */
  arg(i: number): number {
    return this.args[i]!;
  }

  /** The first `count` arguments. */
  numbers<N extends number>(count: N): Numbers<N> {
    return this.args.slice(0, count) as Numbers<N>;
  }

  has(i: number): boolean {
    return (this.buffers[i] ?? null) !== null;
  }

  /** n elements of buffer i to read. */
  input(i: number, dtype: number, n: number): Reals {
    const buffer = this.buffer(i, dtype, n);
    return dtype === 1 ? bf16ToFloat32(new Uint16Array(buffer, 0, n)) : view(buffer, dtype, n);
  }

  /** n elements of buffer i to read, or null where it is absent. */
  optional(i: number, dtype: number, n: number): Reals | null {
    return this.has(i) ? this.input(i, dtype, n) : null;
  }

  /** n elements of buffer i to write, or to update in place. */
  output(i: number, dtype: number, n: number): Reals {
    const buffer = this.buffer(i, dtype, n);
    if (dtype !== 1) return view(buffer, dtype, n);
    const data = bf16ToFloat32(new Uint16Array(buffer, 0, n));
    this.results.push({ buffer, data });
    return data;
  }

  /** n elements of buffer i to write, or null where it is absent. */
  optionalOutput(i: number, dtype: number, n: number): Reals | null {
    return this.has(i) ? this.output(i, dtype, n) : null;
  }

  /** The first n bytes of buffer i. */
  bytes(i: number, n: number): ArrayBuffer {
    const buffer = this.buffers[i] ?? null;
    if (buffer === null || buffer.byteLength < n)
      this.fail('a short buffer', `at least ${n} bytes`);
    return buffer;
  }

  ints(i: number, n: number): Int32Array {
    return new Int32Array(this.buffer(i, 2, n), 0, n);
  }

  /** Dtype code of a real buffer of n elements whose kernel takes no dtype: f64 if its size says so. */
  realCode(i: number, n: number): number {
    const buffer = this.buffers[i];
    return buffer && n > 0 && buffer.byteLength === n * 8 ? 3 : 0;
  }

  /** Stores rounded bf16 results. */
  finish(): void {
    for (const { buffer, data } of this.results) {
      float32ToBf16(data, new Uint16Array(buffer, 0, data.length));
    }
  }

  fail(got: string, expected: string): never {
    throw new BackendError({ where: this.kernel, got, expected });
  }

  private buffer(i: number, dtype: number, n: number): ArrayBuffer {
    const buffer = this.buffers[i] ?? null;
    if (buffer === null) this.fail(`no buffer ${i}`, 'a buffer');
    const need = n * (bytesOf[dtype] ?? Number.NaN);
    if (!(need >= 0 && buffer.byteLength >= need)) {
      this.fail(`${buffer.byteLength} bytes in buffer ${i}`, `at least ${need}`);
    }
    return buffer;
  }
}

function view(buffer: ArrayBuffer, dtype: number, n: number): Reals {
  if (dtype === 0) return new Float32Array(buffer, 0, n);
  return dtype === 3 ? new Float64Array(buffer, 0, n) : new Int32Array(buffer, 0, n);
}

/** Code of statistics and parameters beside data of this code: f64 for f64, else f32. */
export function statCode(dtype: number): number {
  return dtype === 3 ? 3 : 0;
}

export type ReferenceKernel = (call: Call) => void;
