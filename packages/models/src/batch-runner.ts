import { setImmediate } from 'node:timers/promises';
import { disposeBatch, InputError, noGrad, type PackedBatch, scope } from '@unimoer/core';
import { planBatches } from './batching';
import type { RunOptions } from './run-options';
import type { Tally } from './tally';
import type { Encoded } from './tokenizer';

/** Texts tokenised and sorted at a time: bounds memory and the time between two looks at the signal. */
const WINDOW = 4096;
const BATCH_TOKENS = 8192;

/** What `runBatches` works through. */
export interface BatchJob {
  total: number;
  /** What an item is called in errors. */
  kind: string;
  options: RunOptions;
  tally: Tally;
  encode(i: number): Encoded;
  pack(sequences: readonly Encoded[]): PackedBatch;
  /** Runs one batch, hands its results on and returns their values, which must be finite. */
  compute(
    batch: PackedBatch,
    members: readonly number[],
    sequences: readonly Encoded[],
  ): ArrayLike<number>;
}

/**
 * Windows of texts, each tokenised, sorted by length, packed to the token budget and computed without a tape.
 * Throws InputError naming the first text whose result is not finite, and the signal's reason once aborted.
 */
export async function runBatches(job: BatchJob): Promise<void> {
  const { batchTokens = BATCH_TOKENS, signal, onProgress } = job.options;
  if (!Number.isInteger(batchTokens) || batchTokens < 1)
    throw wrongCount('batchTokens', batchTokens);
  signal?.throwIfAborted();
  let done = 0;
  for (let start = 0; start < job.total; start += WINDOW) {
    const encoded = encodeWindow(job, start);
    const filled = encoded.flatMap(({ ids }, i) => (ids.length > 0 ? [i] : []));
    done += encoded.length - filled.length;
    const lengths = filled.map((i) => encoded[i]!.ids.length);
    let broken = Number.POSITIVE_INFINITY;
    for (const plan of planBatches(lengths, batchTokens)) {
      const local = plan.map((j) => filled[j]!);
      // After a non-finite result only batches with earlier texts matter: the error names the first one.
      if (local.every((i) => start + i > broken)) continue;
      await breathe(signal);
      const members = local.map((i) => start + i);
      const values = computeBatch(
        job,
        members,
        local.map((i) => encoded[i]!),
      );
      broken = Math.min(broken, firstBroken(values, members));
      done += members.length;
      onProgress?.(done, job.total);
    }
    if (broken < Number.POSITIVE_INFINITY) throw notFinite(nameOf(job.options, broken, job.kind));
  }
}

/** The name of an item for errors. */
export function nameOf(options: RunOptions, i: number, kind: string): string {
  return options.names?.[i] ?? `${kind} ${i + 1}`;
}

export function wrongCount(where: string, value: number): InputError {
  const expected = 'a whole number of at least 1';
  return new InputError({ where, got: String(value), expected, remedy: 'correct the option' });
}

function encodeWindow({ total, encode, tally }: BatchJob, start: number): Encoded[] {
  return Array.from({ length: Math.min(WINDOW, total - start) }, (_, i) => {
    const item = encode(start + i);
    if (item.truncated) tally.count('truncated');
    if (item.ids.length === 0) tally.count('noTokens');
    return item;
  });
}

function computeBatch(
  job: BatchJob,
  members: readonly number[],
  sequences: readonly Encoded[],
): ArrayLike<number> {
  const batch = job.pack(sequences);
  try {
    return noGrad(() => scope(() => job.compute(batch, members, sequences)));
  } finally {
    disposeBatch(batch);
  }
}

/** Lets timers and signals run, then throws the signal's reason if it was aborted. */
async function breathe(signal: AbortSignal | undefined): Promise<void> {
  await setImmediate();
  signal?.throwIfAborted();
}

function firstBroken(values: ArrayLike<number>, members: readonly number[]): number {
  const width = values.length / members.length;
  let first = Number.POSITIVE_INFINITY;
  for (let i = 0; i < values.length; i++) {
    if (!Number.isFinite(values[i]!)) first = Math.min(first, members[Math.floor(i / width)]!);
  }
  return first;
}

function notFinite(name: string): InputError {
  return new InputError({
    where: name,
    got: 'a result that is not finite',
    expected: 'finite numbers',
    remedy: 'check the weights, or compute in f32',
  });
}
