import { type GradNode, recordMany } from '../autograd/node';
import { launchLimits } from '../backend/kernels';
import { statDType } from '../dtype';
import { empty, type Tensor } from '../tensor/tensor';
import { checkResidual, shapeFault, wantsGrad } from './shared/check';
import type { FrozenWeight } from './frozen-weight';
import { inOneForm, quantizedLinears } from './shared/quantized-linear';
import { checkLinear, checkLowRank, type LowRank } from './shared/low-rank';
import { sumGroups } from './shared/sum-groups';
import { packCode, withPacks } from './shared/weight-pack';
import { linear } from './linear';

/** One of the linears that read the same x. */
export interface GroupMember {
  weight: FrozenWeight;
  bias: Tensor | null;
  /** Absent for a linear without an adapter. */
  lowRank?: LowRank | null;
  /** [T, out] in x's dtype, added to this member's output. */
  residual?: Tensor | null;
}

/**
 * Frozen linear plus LoRA or MoE-LoRA in rank space: H = x Aᵀ; Z = rankScale · gate · H;
 * y = x Wᵀ + bias + Z Bᵀ + residual, accumulated in f32 and rounded once. x [T, in] -> [T, out] in x's dtype,
 * residual like the result. Saves x, H f32 [T, R] and the small operands; gradients for x, A, B, gates, residual and
 * a trainable bias. Ranks whose gate is 0 are left out where runs of rows share them, if lowRank.sparseGates is set
 * or gates need no gradient. A quantised W is dequantised for the call, as in QLoRA (Dettmers et al. 2023, section
 * 3), and activations are not rounded to 8 bits.
 */
export function adaptedLinear(
  x: Tensor,
  w: FrozenWeight,
  bias: Tensor | null,
  lowRank: LowRank,
  residual: Tensor | null = null,
): Tensor {
  return linearGroup(x, [{ weight: w, bias, lowRank, residual }], 'adaptedLinear')[0]!;
}

/**
 * One to three linears over one x [T, in], such as queries, keys and values, or gate and up: x is read once,
 * the adapters enter rank space together, and the gradient of x is summed before it is written. The same
 * values as linear or adaptedLinear one by one, up to the order of f32 sums. Weights are packed in one
 * dtype; members with gates share them. Quantised members run one by one where one of them has an adapter. Saves
 * x (if an adapter is there), H f32 [T, Σ R] and the small operands.
 */
export function linearGroup(
  x: Tensor,
  members: readonly GroupMember[],
  op = 'linearGroup',
): Tensor[] {
  const { gates, rowToGate, sparseGates } = checkGroup(op, x, members);
  if (inOneForm(members.map(({ weight }) => weight)) && members.every((one) => !one.lowRank)) {
    return quantizedLinears(op, x, members);
  }
  if (members[0]!.weight.quantization && members.length > 1) {
    return members.map(({ weight, bias, lowRank, residual }) =>
      lowRank
        ? adaptedLinear(x, weight, bias, lowRank, residual)
        : linear(x, weight, bias, residual),
    );
  }
  const [m, k] = x.shape as [number, number];
  const { backend, dtype } = x;
  const stat = statDType(dtype);
  const ranks = members.map(({ lowRank }) => lowRank?.A.shape[0] ?? 0);
  const total = ranks.reduce((sum, r) => sum + r, 0);
  const [G, N] = gates ? (gates.shape as [number, number]) : [0, 0];
  const sizes = members.flatMap(({ weight }, i) => [weight.outFeatures, ranks[i]!]);
  while (sizes.length < 2 * launchLimits.linears) sizes.push(0);
  const sparse = sparseGates || !wantsGrad(gates) ? 1 : 0;
  const args = [x.code, packCode(members[0]!.weight, dtype), m, k, N, G, ...sizes, sparse];
  const H = total > 0 ? empty([m, total], stat, backend) : null;
  const ys = members.map(({ weight }) => empty([m, weight.outFeatures], dtype, backend));
  const shared = [gates?.handle ?? 0, rowToGate?.handle ?? 0, H?.handle ?? 0];
  const weights = members.map(({ weight }) => weight);
  const stored = weights.map((weight) => weight.packed);
  withPacks(weights, stored, dtype, false, (packs) =>
    backend.launch(
      'adapted_linear',
      padded([x.handle, ...shared], 8, members, ({ bias, lowRank, residual }, i) => [
        ys[i]!.handle,
        packs[i]!,
        ...rankHandles(lowRank),
        bias?.handle ?? 0,
        residual?.handle ?? 0,
      ]),
      args,
    ),
  );
  const adapters = members.flatMap(({ lowRank }) => (lowRank ? [lowRank.A, lowRank.B] : []));
  const added = members.flatMap(({ bias, residual }) => [bias, residual]);
  if (wantsGrad(x, gates, ...adapters, ...added)) {
    recordGroup(op, x, members, { gates, rowToGate, H, ys, args });
  }
  H?.dispose();
  return ys;
}

interface Launched {
  gates: Tensor | null;
  rowToGate: Tensor | null;
  H: Tensor | null;
  ys: Tensor[];
  args: number[];
}

function recordGroup(
  op: string,
  x: Tensor,
  members: readonly GroupMember[],
  { gates, rowToGate, H, ys, args }: Launched,
): void {
  const { backend, dtype } = x;
  const stat = statDType(dtype);
  const [m, k] = x.shape as [number, number];
  const saved: Tensor[] = [];
  const keep = (t: Tensor | null | undefined): number => (t ? saved.push(t) - 1 : -1);
  const at = {
    x: keep(H ? x : null),
    gates: keep(gates),
    rowToGate: keep(rowToGate),
    H: keep(H),
    members: members.map(({ weight, lowRank }) => ({
      n: weight.outFeatures,
      reverse: keep(x.requiresGrad ? weight.packedTranspose : null),
      A: keep(lowRank?.A),
      B: keep(lowRank?.B),
      scale: keep(lowRank?.rankScale),
      expert: keep(gates ? lowRank?.rankExpert : null),
    })),
  };
  const weights = members.map(({ weight }) => weight);
  // Inputs: x, gates, then A, B, bias and residual of each member.
  const inputs = [
    x,
    gates,
    ...members.flatMap(({ bias, lowRank, residual }) => [
      lowRank?.A ?? null,
      lowRank?.B ?? null,
      bias,
      residual ?? null,
    ]),
  ];
  recordMany(op, ys, inputs, saved, (node) => {
    const dys = node.parts!;
    const handle = (i: number): number => (i < 0 ? 0 : node.saved[i]!.handle);
    const wanted = (input: number, shape: readonly number[]): Tensor | null =>
      node.needs(input) ? empty(shape, stat, backend) : null;
    const sum = node.needs(0) ? node.takeOwnPending(0, dtype) : null;
    const dx = node.needs(0) ? (sum ?? empty([m, k], dtype, backend)) : null;
    const dGates = gates && node.needs(1) ? wanted(1, node.saved[at.gates]!.shape) : null;
    const grads = at.members.map(({ A, B }, i) => ({
      dA: dys[i] && A >= 0 ? wanted(2 + 4 * i, node.saved[A]!.shape) : null,
      dB: dys[i] && B >= 0 ? wanted(3 + 4 * i, node.saved[B]!.shape) : null,
    }));
    const head = [handle(at.x), handle(at.gates), handle(at.rowToGate), handle(at.H)];
    const stored = at.members.map(({ reverse }) => node.saved[reverse] ?? null);
    withPacks(weights, stored, dtype, true, (packs) =>
      backend.launch(
        'adapted_linear_grad',
        padded(
          [...head, dx?.handle ?? 0, dGates?.handle ?? 0],
          8,
          at.members,
          ({ A, B, scale, expert }, i) => [
            dys[i]?.handle ?? 0,
            packs[i]!,
            ...[A, B, scale, expert].map(handle),
            grads[i]!.dA?.handle ?? 0,
            grads[i]!.dB?.handle ?? 0,
          ],
        ),
        [...args, sum ? 1 : 0],
      ),
    );
    if (dx) node.give(0, dx);
    sum?.dispose();
    dys.forEach((dy, i) => {
      if (dy) node.give(5 + 4 * i, dy);
    });
    if (dGates) node.give(1, dGates);
    grads.forEach(({ dA, dB }, i) => {
      if (dA) node.give(2 + 4 * i, dA);
      if (dB) node.give(3 + 4 * i, dB);
      giveBias(node, 4 + 4 * i, dys[i]!, m, at.members[i]!.n);
    });
  });
}

function giveBias(node: GradNode, input: number, dy: Tensor | null, m: number, n: number): void {
  if (dy && node.needs(input)) node.give(input, sumGroups(dy, m, n, 0, [n]));
}

/** Handles of all members behind the shared ones, with zeros for members that are not there. */
function padded<T>(
  head: readonly number[],
  stride: number,
  members: readonly T[],
  handles: (member: T, i: number) => number[],
): number[] {
  const out = [...head, ...members.flatMap(handles)];
  while (out.length < head.length + stride * launchLimits.linears) out.push(0);
  return out;
}

function rankHandles(lowRank: LowRank | null | undefined): number[] {
  if (!lowRank) return [0, 0, 0, 0];
  const { A, B, rankScale, rankExpert, gates } = lowRank;
  return [A.handle, B.handle, rankScale.handle, gates ? rankExpert!.handle : 0];
}

/** Checks every member and returns the gates that they share. */
function checkGroup(
  op: string,
  x: Tensor,
  members: readonly GroupMember[],
): { gates: Tensor | null; rowToGate: Tensor | null; sparseGates: boolean } {
  const first = members[0];
  if (!first || members.length > launchLimits.linears) {
    shapeFault(op, `${members.length} linears`, `1 to ${launchLimits.linears}`);
  }
  let gating: LowRank | null = null;
  let adapted = 0;
  for (const { weight, bias, lowRank, residual } of members) {
    checkLinear(op, x, weight, bias);
    if (residual) checkResidual(op, x, residual, weight.outFeatures);
    if (weight.dtype !== first.weight.dtype) {
      shapeFault(
        `${op} ${weight.name}`,
        `a ${weight.dtype} pack`,
        `${first.weight.dtype} as ${first.weight.name}`,
      );
    }
    if (!lowRank) continue;
    adapted++;
    checkLowRank(op, x, weight, lowRank);
    if (lowRank.gates) gating ??= lowRank;
  }
  let sparseGates = gating !== null;
  for (const { weight, lowRank } of members) {
    const same =
      !lowRank || (lowRank.gates === gating?.gates && lowRank.rowToGate === gating?.rowToGate);
    if (lowRank?.gates && !lowRank.sparseGates) sparseGates = false;
    if (!same && adapted > 1) {
      shapeFault(`${op} ${weight.name}`, 'gates of its own', 'the gates of the other members');
    }
  }
  return { gates: gating?.gates ?? null, rowToGate: gating?.rowToGate ?? null, sparseGates };
}
