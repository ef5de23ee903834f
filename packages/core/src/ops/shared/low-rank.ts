import { BackendError } from '../../errors';
import { statDType } from '../../dtype';
import type { Tensor } from '../../tensor/tensor';
import type { FrozenWeight } from '../frozen-weight';
import { checkBackend, checkInts, checkRank, checkReal, checkVector, shapeFault } from './check';

/** Low-rank experts beside a frozen weight, all ranks side by side (R = Σ ranks). */
export interface LowRank {
  /** f32 [R, in]. */
  A: Tensor;
  /** f32 [out, R]. */
  B: Tensor;
  /** Scale of each rank, f32 [R]. */
  rankScale: Tensor;
  /** Expert of each rank, i32 [R]; needed with gates. */
  rankExpert?: Tensor;
  /** f32 [G, N]; absent means every gate is 1. */
  gates?: Tensor;
  /** Row of gates for each token, i32 [T] in [0, G); needed with gates. */
  rowToGate?: Tensor;
  /**
   * A gate that is exactly 0 gets gradient 0, which lets the op leave out its ranks. For gates made by a map whose
   * own derivative is 0 there (top-k masks, Sparsegen, hard switches), so that nothing is lost; without it the gradient of
   * a zero gate is Σ rankScale · dZ · H like that of any other.
   */
  sparseGates?: boolean;
}

/** What every product with a frozen weight asks of x and bias. */
export function checkLinear(op: string, x: Tensor, w: FrozenWeight, bias: Tensor | null): void {
  checkReal(op, x);
  checkRank(op, 'x', x, 2);
  if (x.shape[1] !== w.inFeatures) {
    shapeFault(
      `${op} ${w.name}`,
      `x [${x.shape.join(', ')}]`,
      `[T, ${w.inFeatures}] for a weight [${w.outFeatures}, ${w.inFeatures}]`,
    );
  }
  if (x.backend !== w.backend) {
    throw new BackendError({
      where: `${op} ${w.name}`,
      got: `x on ${x.backend.name} and the weight on ${w.backend.name}`,
      expected: 'one backend',
    });
  }
  checkVector(op, 'bias', bias, x, w.outFeatures);
}

/** Shapes, dtypes and backends of an adapter beside w. */
export function checkLowRank(op: string, x: Tensor, w: FrozenWeight, lowRank: LowRank): void {
  const { A, B, rankScale, rankExpert, gates, rowToGate } = lowRank;
  const R = A.shape[0] ?? 0;
  checkMatrix(op, 'A', A, x, R, w.inFeatures);
  checkMatrix(op, 'B', B, x, w.outFeatures, R);
  checkVector(op, 'rankScale', rankScale, x, R);
  if (!gates) return;
  checkRank(op, 'gates', gates, 2);
  checkMatrix(op, 'gates', gates, x, gates.shape[0]!, gates.shape[1]!);
  if (!rankExpert || !rowToGate) {
    shapeFault(op, 'gates alone', 'gates with rankExpert and rowToGate');
  }
  checkInts(op, 'rankExpert', rankExpert, R);
  checkInts(op, 'rowToGate', rowToGate, x.shape[0]!);
}

function checkMatrix(
  op: string,
  what: string,
  t: Tensor,
  x: Tensor,
  rows: number,
  cols: number,
): void {
  checkBackend(op, x, t);
  if (t.dtype !== statDType(x.dtype) || t.shape[0] !== rows || t.shape[1] !== cols) {
    shapeFault(
      `${op} ${what}`,
      `${t.dtype} [${t.shape.join(', ')}]`,
      `${statDType(x.dtype)} [${rows}, ${cols}]`,
    );
  }
}
