import { record } from '../autograd/node';
import { empty, type Tensor } from '../tensor/tensor';
import {
  checkBackend,
  checkDType,
  checkRank,
  checkReal,
  shapeFault,
  wantsGrad,
} from './shared/check';

/** How a product reads its operands. */
export interface MatmulOptions {
  transposeA?: boolean;
  transposeB?: boolean;
}

/** op(a) · op(b) with op(a) [m, k], op(b) [k, n] -> [m, n], in the inputs' dtype, summed in f32. Saves both. */
export function matmul(a: Tensor, b: Tensor, options: MatmulOptions = {}): Tensor {
  const { transposeA = false, transposeB = false } = options;
  checkReal('matmul', a);
  checkRank('matmul a', 'shape', a, 2);
  checkRank('matmul b', 'shape', b, 2);
  checkDType('matmul', 'b', b, a.dtype);
  checkBackend('matmul', a, b);
  const inner = a.shape[transposeA ? 0 : 1]!;
  const other = b.shape[transposeB ? 1 : 0]!;
  if (inner !== other) {
    const flipped = b.shape[transposeB ? 0 : 1]!;
    shapeFault(
      'matmul',
      `[${a.shape.join(', ')}] x [${b.shape.join(', ')}] with inner sizes ${inner} and ${other}`,
      'equal inner sizes',
      flipped === inner ? 'did you mean transposeB?' : undefined,
    );
  }
  const y = product(a, b, transposeA, transposeB);
  if (wantsGrad(a, b)) {
    record('matmul', y, [a, b], [a, b], (dy, node) => {
      const [left, right] = node.saved as [Tensor, Tensor];
      if (node.needs(0)) {
        node.give(
          0,
          transposeA
            ? product(right, dy, transposeB, true)
            : product(dy, right, false, !transposeB),
        );
      }
      if (node.needs(1)) {
        node.give(
          1,
          transposeB ? product(dy, left, true, transposeA) : product(left, dy, !transposeA, false),
        );
      }
    });
  }
  return y;
}

function product(a: Tensor, b: Tensor, transA: boolean, transB: boolean): Tensor {
  const m = a.shape[transA ? 1 : 0]!;
  const k = a.shape[transA ? 0 : 1]!;
  const n = b.shape[transB ? 0 : 1]!;
  const y = empty([m, n], a.dtype, a.backend);
  a.backend.launch(
    'gemm',
    [a.handle, b.handle, y.handle, 0],
    [a.code, b.code, y.code, m, n, k, transA ? 1 : 0, transB ? 1 : 0, 1, 0],
  );
  return y;
}
