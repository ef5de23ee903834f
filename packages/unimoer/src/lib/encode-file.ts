import { addAbortSignal } from 'node:stream';
import { type ByteSource, documentText, readTexts, type TextRecord } from '@unimoer/eval-beir';
import type { Model } from '@unimoer/models';
import type { EncodeOptions } from '../commands/encode.js';
import { CountedWarnings } from './counted-warnings.js';
import { jsonlOptions } from './data-options.js';
import type { Io } from './io.js';
import { NpyWriter } from './npy.js';
import { withModel } from './open-model.js';
import { withOutputs } from './outputs.js';

/** Texts embedded at a time; bounds memory, never changes the result. */
const blockSize = 4096;

/** What was written. */
export interface EncodedFile {
  vectors: string;
  ids: string;
  texts: number;
  dim: number;
}

/** The ids file of a vectors file: its name without a final `.npy`, plus `.ids.txt`. */
export function idsPath(vectors: string): string {
  return `${vectors.replace(/\.npy$/, '')}.ids.txt`;
}

/** Embeds the lines of a file or of standard input; vectors and ids appear together or not at all. */
export function encodeFile(io: Io, options: EncodeOptions): Promise<EncodedFile> {
  const vectors = io.path(options.out);
  const ids = idsPath(vectors);
  const source: ByteSource =
    options.in === '-'
      ? { name: 'standard input', stream: addAbortSignal(io.signal, process.stdin) }
      : io.path(options.in);
  return withModel(io, options, (model) =>
    withOutputs(async (outputs) => {
      const writer = new NpyWriter(outputs.add(vectors), vectors, model.dim);
      try {
        const names = await encodeLines(io, model, source, options, writer);
        writer.finish();
        outputs.write(ids, names.map((id) => `${id}\n`).join(''));
        return { vectors, ids, texts: names.length, dim: model.dim };
      } finally {
        writer.close();
      }
    }),
  );
}

async function encodeLines(
  io: Io,
  model: Model,
  source: ByteSource,
  options: EncodeOptions,
  writer: NpyWriter,
): Promise<string[]> {
  const name = typeof source === 'string' ? source : source.name;
  const ids: string[] = [];
  const warnings = new CountedWarnings();
  const progress = io.progress({ label: 'texts', total: 0 });
  const flush = async (records: readonly TextRecord[]): Promise<void> => {
    const result = await model.embed(records.map(documentText), {
      batchTokens: options.batchTokens,
      normalize: options.normalize,
      signal: io.signal,
      names: records.map(({ id, line }) => `${name}:${line} (_id ${JSON.stringify(id)})`),
      onProgress: (done) => progress.update(0, `${ids.length + done} done`),
      ...(options.task ? { task: options.task } : {}),
    });
    warnings.add(result.warnings);
    writer.append(result.vectors);
    for (const { id } of records) ids.push(id);
  };
  let block: TextRecord[] = [];
  for await (const records of readTexts(source, jsonlOptions(io, options))) {
    io.checkInterrupt();
    for (const record of records) {
      block.push(record);
      if (block.length < blockSize) continue;
      await flush(block);
      block = [];
    }
  }
  if (block.length > 0) await flush(block);
  progress.finish(`encoded ${ids.length} texts`);
  warnings.print(io, 'text', 'texts');
  if (ids.length === 0) io.warn(`${name}: no texts, so ${options.out} has no rows`);
  return ids;
}
