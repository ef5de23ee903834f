import { describeError, exitCodeOf } from '../lib/errors.js';
import type { Cell } from './state.js';
import { watchParent } from './watchdog.js';
import { createWorkshop } from './workshop.js';

/** From the runner to a worker. */
export type ToWorker = { type: 'cell'; cell: Cell } | { type: 'stop' };

/** From a worker to the runner. */
export type FromWorker =
  | { type: 'ready' }
  | { type: 'progress'; share: number; detail: string }
  | { type: 'done'; cell: Cell; seconds: number }
  | { type: 'interrupted' }
  | { type: 'failed'; message: string; input: boolean; stack: string };

/** A worker process: computes the cells that it is sent, one after the other. */
function main([dir = '', threads = '0']: string[]): void {
  watchParent();
  // A terminal sends SIGINT to the whole group; the runner alone decides what it means.
  process.on('SIGINT', () => {});
  const controller = new AbortController();
  process.on('SIGTERM', () => controller.abort());
  process.on('disconnect', () => process.exit(1));

  const send = (message: FromWorker): Promise<void> =>
    new Promise((done) => {
      if (!process.send?.(message, undefined, undefined, () => done())) done();
    });
  const fail = async (error: unknown): Promise<void> => {
    if (exitCodeOf(error) === 130) await send({ type: 'interrupted' });
    else {
      await send({
        type: 'failed',
        message: describeError(error),
        // Data and model were checked before: a failed system call is this machine's, not the input's.
        input: exitCodeOf(error) === 2 && !(error instanceof Error && 'syscall' in error),
        stack: error instanceof Error ? (error.stack ?? '') : '',
      });
    }
  };

  const workshop = createWorkshop(dir, Number(threads));
  process.on('message', async (message: ToWorker) => {
    if (message.type === 'stop') {
      controller.abort();
      return;
    }
    const start = performance.now();
    try {
      await workshop.run(message.cell, controller.signal, (share, detail) => {
        void send({ type: 'progress', share, detail });
      });
      const seconds = (performance.now() - start) / 1000;
      await send({ type: 'done', cell: message.cell, seconds });
    } catch (error) {
      await fail(error);
    }
  });
  void send({ type: 'ready' });
}

main(process.argv.slice(2));
