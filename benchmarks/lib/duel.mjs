/**
 * Runs several implementations of the same work in lock-step: each is a process that answers one JSON line per
 * command. Iterations are interleaved, so a noisy machine disturbs every side alike.
 */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

class Side {
  constructor({ name, command, args, env }) {
    this.name = name;
    this.times = [];
    this.child = spawn(command, args, {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { ...process.env, ...env },
    });
    this.waiting = [];
    this.lines = [];
    createInterface({ input: this.child.stdout }).on('line', (line) => {
      if (!line.startsWith('{')) return;
      const next = this.waiting.shift();
      if (next) next.resolve(JSON.parse(line));
      else this.lines.push(JSON.parse(line));
    });
    this.child.on('error', (error) => this.fail(error));
    this.child.on('exit', (code) => this.fail(new Error(`${name} ended with code ${code}`)));
  }

  fail(error) {
    this.error = error;
    for (const { reject } of this.waiting.splice(0)) reject(error);
  }

  next() {
    if (this.lines.length > 0) return Promise.resolve(this.lines.shift());
    if (this.error) return Promise.reject(this.error);
    return new Promise((resolve, reject) => this.waiting.push({ resolve, reject }));
  }

  ask(command) {
    this.child.stdin.write(`${command}\n`);
    return this.next();
  }
}

export const median = (values) => {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
};

const relative = (a, b) => Math.abs(a - b) / Math.max(Math.abs(a), Math.abs(b), 1e-12);

/**
 * sides[0] is ours. `tolerance` bounds the relative difference of every number in `check` against ours; a side that
 * fails it ends the benchmark, because a wrong result has no speed. `verify` may compare more, before anything is
 * timed: it gets the names and returns what to record of each.
 */
export async function duel(
  specs,
  { rounds = 9, warmup = 3, tolerance = 1e-3, verify = () => [], log = console.error } = {},
) {
  const sides = specs.map((spec) => new Side(spec));
  try {
    const ready = [];
    for (const side of sides) ready.push(await side.next());
    for (let i = 1; i < sides.length; i++) {
      for (const [key, ours] of Object.entries(ready[0].check)) {
        const theirs = ready[i].check[key];
        if (theirs === undefined) continue;
        const difference = relative(ours, theirs);
        if (!(difference <= tolerance)) {
          throw new Error(
            `${key} differs: ${ours} (${sides[0].name}) and ${theirs} (${sides[i].name})`,
          );
        }
      }
    }
    const verified = verify(sides.map(({ name }) => name));
    for (let round = 0; round < warmup + rounds; round++) {
      for (const side of sides) {
        const { ms } = await side.ask('run');
        if (round >= warmup) side.times.push(ms);
      }
    }
    const results = [];
    for (const [i, side] of sides.entries()) {
      const { peakRssMb } = await side.ask('quit');
      results.push({
        name: side.name,
        medianMs: median(side.times),
        minMs: Math.min(...side.times),
        maxMs: Math.max(...side.times),
        peakRssMb,
        check: { ...ready[i].check, ...verified[i] },
        settings: ready[i].settings,
      });
    }
    for (const r of results) {
      log(
        `${r.name.padEnd(34)} ${r.medianMs.toFixed(1).padStart(9)} ms  [${r.minMs.toFixed(1)}, ${r.maxMs.toFixed(1)}]` +
          `  ${(r.medianMs / results[0].medianMs).toFixed(2)}x  ${r.peakRssMb.toFixed(0)} MB`,
      );
    }
    return results;
  } finally {
    for (const side of sides) side.child.kill();
  }
}
