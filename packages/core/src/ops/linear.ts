import { record } from '../autograd/node';
import { dtypeCode, statDType } from '../dtype';
import { BackendError } from '../errors';
import { empty, type Tensor } from '../tensor/tensor';
import {
  checkBackend,
  checkInts,
  checkRank,
  checkReal,
  checkVector,
  shapeFault,
  wantsGrad,
} from './shared/check';
import type { FrozenWeight } from './frozen-weight';
import { sumGroups } from './shared/sum-groups';

/**
 * x Wᵀ + bias: x [T, in] f32 or bf16, bias f32 [out] or null -> [T, out] in x's dtype, summed in f32. Saves
 * nothing but W's transposed pack; gradients reach x and, if it requires one, the bias.
 */
export function linear(x: Tensor, w: FrozenWeight, bias: Tensor | null): Tensor {
  checkLinear('linear', x, w, bias);
  const m = x.shape[0]!;
  const [n, k] = [w.outFeatures, w.inFeatures];
  const packCode = dtypeCode[w.dtype];
  const { backend, dtype } = x;
  const y = empty([m, n], dtype, backend);
  backend.launch(
    'linear_packed',
    [x.handle, w.packed.handle, bias?.handle ?? 0, y.handle],
    [x.code, packCode, m, n, k, 0],
  );
  if (wantsGrad(x, bias)) {
    record('linear', y, [x, bias], x.requiresGrad ? [w.packedTranspose] : [], (dy, node) => {
      const reverse = node.saved[0];
      if (reverse) {
        const dx = empty([m, k], dtype, backend);
        backend.launch(
          'linear_packed',
          [dy.handle, reverse.handle, 0, dx.handle],
          [dy.code, packCode, m, k, n, 0],
        );
        node.give(0, dx);
      }
      if (node.needs(1)) node.give(1, sumGroups(dy, m, n, 0, [n]));
    });
  }
  return y;
}

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
}

/**
 * Frozen linear plus LoRA or MoE-LoRA in rank space: H = x Aᵀ; Z = rankScale · gate · H;
 * y = x Wᵀ + bias + Z Bᵀ, accumulated in f32. x [T, in] -> [T, out] in x's dtype. Saves x, H f32 [T, R]
 * and the small operands; gradients for x, A, B, gates and a trainable bias.
 */
export function adaptedLinear(
  x: Tensor,
  w: FrozenWeight,
  bias: Tensor | null,
  lowRank: LowRank,
): Tensor {
  checkLinear('adaptedLinear', x, w, bias);
  const { A, B, rankScale, rankExpert, gates, rowToGate } = lowRank;
  checkLowRank(x, w, lowRank);
  const m = x.shape[0]!;
  const [n, k, R] = [w.outFeatures, w.inFeatures, A.shape[0]!];
  const [G, N] = gates ? (gates.shape as [number, number]) : [0, 0];
  const { backend, dtype } = x;
  const stat = statDType(dtype);
  const args = [x.code, dtypeCode[w.dtype], m, n, k, R, N, G];
  const y = empty([m, n], dtype, backend);
  const H = empty([m, R], stat, backend);
  backend.launch(
    'adapted_linear',
    [
      x.handle,
      w.packed.handle,
      bias?.handle ?? 0,
      A.handle,
      B.handle,
      gates?.handle ?? 0,
      gates ? rowToGate!.handle : 0,
      rankScale.handle,
      gates ? rankExpert!.handle : 0,
      y.handle,
      H.handle,
    ],
    args,
  );
  if (wantsGrad(x, A, B, gates, bias)) {
    const gating = gates ? [gates, rowToGate!, rankExpert!] : [];
    const gateCount = gating.length;
    const reversePack = x.requiresGrad ? [w.packedTranspose] : [];
    const saved = [x, H, A, B, rankScale, ...gating, ...reversePack];
    record('adaptedLinear', y, [x, A, B, gates ?? null, bias], saved, (dy, node) => {
      const [sx, sH, sA, sB, scale] = node.saved as [Tensor, Tensor, Tensor, Tensor, Tensor];
      const [sGates, rows, experts] = node.saved.slice(5, 5 + gateCount);
      const reverse = node.saved[5 + gateCount];
      const out = (i: number, shape: number[], type: typeof dtype): Tensor | null =>
        node.needs(i) ? empty(shape, type, backend) : null;
      const grads = [
        out(0, [m, k], dtype),
        out(1, [R, k], stat),
        out(2, [n, R], stat),
        out(3, [G, N], stat),
      ];
      backend.launch(
        'adapted_linear_grad',
        [
          dy.handle,
          sx.handle,
          reverse?.handle ?? 0,
          sA.handle,
          sB.handle,
          sGates?.handle ?? 0,
          rows?.handle ?? 0,
          scale.handle,
          experts?.handle ?? 0,
          sH.handle,
          ...grads.map((g) => g?.handle ?? 0),
        ],
        args,
      );
      grads.forEach((g, i) => {
        if (g) node.give(i, g);
      });
      if (node.needs(4)) node.give(4, sumGroups(dy, m, n, 0, [n]));
    });
  }
  H.dispose();
  return y;
}

function checkLinear(op: string, x: Tensor, w: FrozenWeight, bias: Tensor | null): void {
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

function checkLowRank(x: Tensor, w: FrozenWeight, lowRank: LowRank): void {
  const op = 'adaptedLinear';
  const { A, B, rankScale, rankExpert, gates, rowToGate } = lowRank;
  const R = A.shape[0] ?? 0;
  checkMatrix('A', A, x, R, w.inFeatures);
  checkMatrix('B', B, x, w.outFeatures, R);
  checkVector(op, 'rankScale', rankScale, x, R);
  if (!gates) return;
  checkRank(op, 'gates', gates, 2);
  checkMatrix('gates', gates, x, gates.shape[0]!, gates.shape[1]!);
  if (!rankExpert || !rowToGate) {
    shapeFault(op, 'gates alone', 'gates with rankExpert and rowToGate');
  }
  checkInts(op, 'rankExpert', rankExpert, R);
  checkInts(op, 'rowToGate', rowToGate, x.shape[0]!);
}

function checkMatrix(what: string, t: Tensor, x: Tensor, rows: number, cols: number): void {
  const op = 'adaptedLinear';
  checkBackend(op, x, t);
  if (t.dtype !== statDType(x.dtype) || t.shape[0] !== rows || t.shape[1] !== cols) {
    shapeFault(
      `${op} ${what}`,
      `${t.dtype} [${t.shape.join(', ')}]`,
      `${statDType(x.dtype)} [${rows}, ${cols}]`,
    );
  }
}
