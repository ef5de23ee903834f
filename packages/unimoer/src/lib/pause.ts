import { setImmediate as turn } from 'node:timers/promises';
import type { Io } from './io.js';

/** Longest stretch of computing without a look at signals. */
const stretchMilliseconds = 100;

/**
 * Returns a function to await inside long loops: it lets signals arrive now and then and throws
 * InterruptedError once one came.
 */
export function pauses(io: Io): () => Promise<void> {
  let last = performance.now();
  return async () => {
    if (performance.now() - last < stretchMilliseconds) return;
    await turn();
    last = performance.now();
    io.checkInterrupt();
  };
}
