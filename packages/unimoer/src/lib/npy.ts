import { closeSync, fsyncSync, openSync, writeSync } from 'node:fs';
import { OutputError } from './errors.js';

/** The header's size is fixed so that the number of rows can be filled in at the end. */
const headerBytes = 128;

/** Header of a float32 array `[rows, columns]` in C order, NPY format 1.0. */
export function npyHeader(rows: number, columns: number): Buffer {
  const header = Buffer.alloc(headerBytes, ' ');
  header.write('\x93NUMPY\x01\x00', 0, 'latin1');
  header.writeUInt16LE(headerBytes - 10, 8);
  header.write(
    `{'descr': '<f4', 'fortran_order': False, 'shape': (${rows}, ${columns}), }`,
    10,
    'latin1',
  );
  header.write('\n', headerBytes - 1, 'latin1');
  return header;
}

/** Writes rows of float32 as they come. `path` is the file's final name, for messages. */
export class NpyWriter {
  private readonly file: number;
  private rows = 0;

  constructor(
    temporary: string,
    private readonly path: string,
    private readonly columns: number,
  ) {
    this.file = this.guard(() => openSync(temporary, 'w'));
    this.guard(() => this.writeAll(npyHeader(0, columns), null));
  }

  /** Appends whole rows. */
  append(values: Float32Array): void {
    const bytes = Buffer.from(values.buffer, values.byteOffset, values.byteLength);
    this.guard(() => this.writeAll(bytes, null));
    this.rows += values.length / this.columns;
  }

  /** Completes the header and flushes to the disk. */
  finish(): void {
    this.guard(() => {
      this.writeAll(npyHeader(this.rows, this.columns), 0);
      fsyncSync(this.file);
    });
  }

  close(): void {
    closeSync(this.file);
  }

  private writeAll(bytes: Buffer, position: number | null): void {
    for (let at = 0; at < bytes.length; ) {
      at += writeSync(
        this.file,
        bytes,
        at,
        bytes.length - at,
        position === null ? null : position + at,
      );
    }
  }

  private guard<T>(write: () => T): T {
    try {
      return write();
    } catch (error) {
      throw new OutputError(this.path, error);
    }
  }
}
