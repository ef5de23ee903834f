import { createWriteStream } from 'node:fs';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { formatRun, type Run } from '@unimoer/eval-beir';
import { InputError, OutputError } from './errors.js';
import { withOutputs } from './outputs.js';

/** Writes a run under its final name once it is complete. */
export async function writeRun(path: string, run: Run, tag: string): Promise<void> {
  await withOutputs(async (outputs) => {
    const temporary = outputs.add(path);
    try {
      await pipeline(
        Readable.from(formatRun(run, tag)),
        createWriteStream(temporary, { flush: true }),
      );
    } catch (error) {
      throw new OutputError(path, error);
    }
  });
}

/** Throws InputError unless a tag can be the last column of a run. */
export function checkTag(tag: string): string {
  if (/^\S+$/.test(tag)) return tag;
  throw new InputError({
    where: '--tag',
    got: JSON.stringify(tag),
    expected: 'a name without white space',
    remedy: 'it is the last column of every line',
  });
}
