import { add, div, mul, sub } from '../ops/binary';
import { cast } from '../ops/cast';
import { dropout } from '../ops/dropout';
import {
  abs,
  addScalar,
  exp,
  gelu,
  log,
  neg,
  relu,
  scale,
  sigmoid,
  silu,
  softplus,
  sqrt,
  square,
  tanh,
} from '../ops/unary';
import type { Tensor } from '../tensor/tensor';
import { data, type Fill, type OpCase, row } from './case';

const shape = [3, 37];

function unary(
  op: string,
  f: (x: Tensor) => Tensor,
  fill: Fill = 'normal',
  label = '[3, 37]',
): OpCase {
  return row(op, label, [data(shape, fill)], ([x]) => f(x!));
}

const binaryShapes: [label: string, a: number[], b: number[], either: boolean][] = [
  ['same shape', [3, 37], [3, 37], false],
  ['scalar', [3, 37], [], false],
  ['one element', [3, 37], [1], false],
  ['row', [2, 3, 17], [17], false],
  ['matrix row', [2, 3, 17], [3, 17], false],
  ['column', [5, 19], [5, 1], false],
  ['row first', [17], [4, 17], true],
  ['column first', [5, 1], [5, 19], true],
];

function binary(op: string, f: (a: Tensor, b: Tensor) => Tensor, commutes: boolean): OpCase[] {
  return binaryShapes
    .filter(([, , , either]) => commutes || !either)
    .map(([label, a, b]) =>
      row(op, label, [data(a), data(b, op === 'div' ? 'positive' : 'normal')], ([x, y]) =>
        f(x!, y!),
      ),
    );
}

export const elementwiseCases: OpCase[] = [
  ...binary('add', add, true),
  ...binary('sub', sub, false),
  ...binary('mul', mul, true),
  ...binary('div', div, false),
  row('mul', 'a tensor by itself', [data(shape)], ([x]) => mul(x!, x!)),
  unary('scale', (x) => scale(x, -1.7)),
  unary('addScalar', (x) => addScalar(x, 0.4)),
  unary('neg', neg),
  unary('exp', exp),
  unary('log', log, 'positive'),
  unary('sqrt', sqrt, 'positive'),
  unary('square', square),
  unary('abs', abs, 'offZero'),
  unary('tanh', tanh),
  unary('sigmoid', sigmoid),
  unary('relu', relu, 'offZero'),
  unary('silu', silu),
  unary('softplus', softplus),
  unary('gelu', gelu, 'normal', 'erf'),
  unary('gelu', (x) => gelu(x, { approximate: 'tanh' }), 'normal', 'tanh'),
  unary('dropout', (x) => dropout(x, 0.3, { seed: 5n, offset: 3 }), 'normal', 'p = 0.3'),
  row('cast', 'to another dtype and back', [data(shape)], ([x]) => {
    const { dtype } = x!;
    return cast(cast(x!, dtype === 'f32' ? 'bf16' : dtype === 'bf16' ? 'f32' : 'f64'), dtype);
  }),
];
