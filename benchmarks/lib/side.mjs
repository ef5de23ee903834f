/** Our half of the lock-step protocol (see baselines/pytorch/protocol.py): answers `run` and `quit` on stdin. */
import { createInterface } from 'node:readline';

const answer = (fields) => process.stdout.write(`${JSON.stringify(fields)}\n`);

export async function serve(iteration, check, settings) {
  answer({ ready: true, check: await check(), settings });
  for await (const line of createInterface({ input: process.stdin })) {
    if (line.trim() === 'run') {
      const start = performance.now();
      await iteration();
      answer({ ms: performance.now() - start });
    } else if (line.trim() === 'quit') {
      answer({ peakRssMb: process.resourceUsage().maxRSS / 1024 });
      process.exit(0);
    }
  }
}
