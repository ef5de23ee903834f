/**
 * Times every large row of core's case table on the native backend, forward and with gradients, after
 * comparing its values with the reference backend. Products with frozen weights, whose rows pack the weight
 * each time, are timed by the gemm benchmark instead.
 *
 *   npm run bench -- op-cases [OP ...]
 */
import {
  backward,
  getBackend,
  keep,
  ones,
  scope,
  setDefaultBackend,
  type Tensor,
} from '@unimoer/core';
import { makeInputs, opCases, relativeError, toleranceOf } from '@unimoer/core/testing';
import { record } from '../lib/record.mjs';

const native = getBackend('native');
const reference = getBackend('reference');
const wanted = process.argv.slice(2);

/** Median milliseconds of seven rounds, each long enough for the clock. */
function measure(run: () => void): number {
  run();
  const times: number[] = [];
  for (let round = 0; round < 7; round++) {
    const start = performance.now();
    let runs = 0;
    do {
      run();
      runs++;
    } while (performance.now() - start < 10);
    times.push((performance.now() - start) / runs);
  }
  return times.sort((a, b) => a - b)[3]!;
}

const rows = [];
const frozen = ['linear', 'adaptedLinear'];
const timed = opCases.filter((c) => c.large && !frozen.includes(c.op));
for (const spec of timed.filter((c) => !wanted.length || wanted.includes(c.op))) {
  for (const dtype of spec.dtypes) {
    const value = (backend: typeof native): ArrayLike<number> => {
      setDefaultBackend(backend);
      return scope(() => {
        const inputs = makeInputs(spec, dtype, backend);
        const y = spec.run(inputs).toArray();
        for (const input of inputs) input.dispose();
        return y;
      });
    };
    const error = relativeError(value(native), value(reference));
    if (!(error <= toleranceOf(spec.op, dtype).forward)) {
      throw new Error(`${spec.op}, ${spec.label}, ${dtype}: off by ${error}`);
    }
    setDefaultBackend(native);
    const inputs = makeInputs(spec, dtype, native);
    const [shape, type] = scope(() => {
      const y = spec.run(inputs);
      return [[...y.shape], y.dtype] as const;
    });
    const seed = keep(ones(shape, { dtype: type }));
    const step = (gradients: boolean): void =>
      scope(() => {
        const y: Tensor = spec.run(inputs);
        if (!gradients) return;
        backward(y, seed);
        for (const input of inputs) {
          input.grad?.dispose();
          input.grad = null;
        }
      });
    const forward = measure(() => step(false));
    const both = measure(() => step(true));
    for (const input of [...inputs, seed]) input.dispose();
    rows.push({ op: spec.op, label: spec.label, dtype, forward, both, error });
    console.log(
      `${spec.op.padEnd(16)}${spec.label.padEnd(40)}${dtype.padEnd(6)}` +
        `${forward.toFixed(3).padStart(9)} ms ${both.toFixed(3).padStart(9)} ms with gradients`,
    );
  }
}
record('op-cases', { isa: native.isa(), threads: native.threads(), milliseconds: rows });
