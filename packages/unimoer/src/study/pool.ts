import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { backendInfo } from '@unimoer/core';
import { InputError, InterruptedError } from '../lib/errors.js';
import type { Cell } from './state.js';
import type { FromWorker, ToWorker } from './worker.js';

export interface PoolOptions {
  dir: string;
  jobs: number;
  /** Threads of each worker's engine; 0 leaves its own choice. */
  threads: number;
  signal: AbortSignal;
  onProgress(cell: Cell, share: number, detail: string): void;
  onDone(cell: Cell, seconds: number): void;
}

/** A worker gets this long to stop at a step's end and write a checkpoint. */
const stopMilliseconds = 7_000;

/** What a worker ended with, when it could not say so itself. */
class WorkerError extends Error {
  constructor(cell: Cell | null, how: string, dir: string) {
    const what = cell ? `cell ${cell.arm}, seed ${cell.seed ?? 'none'}` : 'a worker';
    super(`${what}: its process ${how}; finished cells are kept, go on with study resume ${dir}`);
    this.name = 'WorkerError';
  }
}

function startWorker(options: PoolOptions): ChildProcess {
  const fromSource = import.meta.url.endsWith('.ts');
  const entry = fromSource ? './worker.ts' : './study/worker.js';
  const execArgv = fromSource ? ['--import', 'tsx', '--conditions=@unimoer/source'] : [];
  return fork(
    fileURLToPath(new URL(entry, import.meta.url)),
    [options.dir, String(options.threads)],
    {
      execArgv,
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      // The runner's own backend, so that no worker repeats why it is the reference backend.
      env: { ...process.env, UNIMOER_BACKEND: backendInfo().name },
    },
  );
}

/**
 * Computes cells in worker processes, `jobs` at a time. Resolves when all are done; rejects with the
 * first failure, or with InterruptedError after the signal, once every worker has ended.
 */
export async function runPool(cells: readonly Cell[], options: PoolOptions): Promise<void> {
  const queue = [...cells];
  const workers = new Set<ChildProcess>();
  let failure: Error | null = null;

  const stopAll = (): void => {
    queue.length = 0;
    for (const worker of workers) {
      if (worker.connected) worker.send({ type: 'stop' } satisfies ToWorker, () => {});
      setTimeout(() => worker.kill('SIGKILL'), stopMilliseconds).unref();
    }
  };
  const onAbort = (): void => {
    failure ??= new InterruptedError();
    stopAll();
  };
  options.signal.addEventListener('abort', onAbort, { once: true });
  if (options.signal.aborted) onAbort();

  const runWorker = (): Promise<void> =>
    new Promise((resolve) => {
      const worker = startWorker(options);
      workers.add(worker);
      let current: Cell | null = null;
      const next = (): void => {
        current = queue.shift() ?? null;
        if (current) worker.send({ type: 'cell', cell: current } satisfies ToWorker);
        else worker.disconnect();
      };
      worker.on('message', (message: FromWorker) => {
        switch (message.type) {
          case 'progress':
            if (current) options.onProgress(current, message.share, message.detail);
            return;
          case 'done':
            options.onDone(message.cell, message.seconds);
            next();
            return;
          case 'ready':
            next();
            return;
          case 'interrupted':
            failure ??= new InterruptedError();
            current = null;
            worker.disconnect();
            return;
          case 'failed':
            failure ??= cellFailure(message, current);
            current = null;
            stopAll();
            worker.disconnect();
        }
      });
      worker.on('error', (error) => {
        failure ??= error;
      });
      worker.on('exit', (code, signal) => {
        workers.delete(worker);
        if (current) {
          failure ??= new WorkerError(
            current,
            signal ? `was ended by ${signal}` : `ended with code ${code}`,
            options.dir,
          );
          stopAll();
        }
        resolve();
      });
    });

  try {
    const count = Math.min(options.jobs, queue.length);
    await Promise.all(Array.from({ length: count }, runWorker));
  } finally {
    options.signal.removeEventListener('abort', onAbort);
    for (const worker of workers) worker.kill('SIGKILL');
  }
  if (failure) throw failure;
}

function cellFailure(message: FromWorker & { type: 'failed' }, cell: Cell | null): Error {
  const where = cell ? `cell ${cell.arm}, seed ${cell.seed ?? 'none'}: ` : '';
  const error = new Error(where + message.message);
  if (message.input) Object.assign(error, { code: 'INPUT', name: InputError.name });
  error.stack = message.stack;
  return error;
}
