/**
 * Cost of one op on four numbers from TypeScript, where nothing but the call counts: with and without the
 * tape, disposal included. Measured in processor time on one thread; the target is 0.5 µs with the tape.
 *
 *   npm run bench -- overhead
 */
import {
  add,
  backendInfo,
  backward,
  keep,
  mul,
  neg,
  noGrad,
  scope,
  setThreads,
  sum,
  type Tensor,
  tensor,
} from '@unimoer/core';
import { record } from '../lib/record.mjs';

setThreads(1);
const x = keep(tensor([1, 2, 3, 4], [4], { requiresGrad: true }));
const w = keep(tensor([4, 3, 2, 1], [4]));
if (scope(() => neg(x).toArray()).join() !== '-1,-2,-3,-4') throw new Error('neg is wrong');

const calls = 100;
const many = (op: () => Tensor) => () =>
  scope(() => {
    for (let i = 0; i < calls; i++) op();
  });
const chain = (): void => {
  scope(() => {
    let y = x;
    for (let i = 0; i < calls; i++) y = neg(y);
    backward(sum(y));
  });
  x.grad?.dispose();
  x.grad = null;
};

/** Median microseconds per call. */
function measure(run: () => void): number {
  const times: number[] = [];
  for (let round = 0; round < 11; round++) {
    const start = process.cpuUsage();
    for (let i = 0; i < 1000; i++) run();
    const { user, system } = process.cpuUsage(start);
    if (round >= 2) times.push((user + system) / 1000 / calls);
  }
  return times.sort((a, b) => a - b)[times.length >> 1]!;
}

const rows = {
  'neg, no tape': measure(() => noGrad(many(() => neg(x)))),
  'neg, tape': measure(many(() => neg(x))),
  'add, tape': measure(many(() => add(x, w))),
  'mul, tape, two saved': measure(many(() => mul(x, w))),
  'neg, forward and backward': measure(chain),
};
for (const [name, us] of Object.entries(rows)) console.log(`${name.padEnd(28)}${us.toFixed(3)} µs`);
record('overhead', { backend: backendInfo().isa, targetMicroseconds: 0.5, microseconds: rows });
