import { createHash } from 'node:crypto';
import { closeSync, openSync, readSync } from 'node:fs';

/** SHA-256 over a JSON-able description and the bytes of files, in the order given. */
export function hashFiles(files: readonly string[], description: unknown): string {
  const hash = createHash('sha256').update(JSON.stringify(description));
  const buffer = Buffer.allocUnsafe(1 << 22);
  for (const file of files) {
    const handle = openSync(file, 'r');
    try {
      for (let n = readSync(handle, buffer); n > 0; n = readSync(handle, buffer)) {
        hash.update(buffer.subarray(0, n));
      }
    } finally {
      closeSync(handle);
    }
  }
  return hash.digest('hex');
}
