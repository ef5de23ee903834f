import { type GradNode, record, recordMany } from '../../autograd/node';
import { launchLimits } from '../../backend/kernels';
import { empty, type Tensor } from '../../tensor/tensor';
import type { FrozenWeight } from '../frozen-weight';
import { wantsGrad } from './check';
import { onTop } from './on-top';
import { sumGroups } from './sum-groups';

/** A quantised weight with what is added to its product. */
export interface QuantizedMember {
  weight: FrozenWeight;
  bias: Tensor | null;
  residual?: Tensor | null;
}

/** An activation of x before the product, by code of feedForward; the gate is like x, for 'swiglu' alone. */
export interface Activated {
  code: number;
  gate: Tensor | null;
}

const NO_ACTIVATION = -1;

/** Whether one launch can take these weights: quantised, and in one form. */
export function inOneForm(weights: readonly FrozenWeight[]): boolean {
  const first = weights[0]!.quantization;
  return (
    first !== null &&
    weights.every(
      ({ quantization: q }) =>
        q !== null &&
        q.bits === first.bits &&
        q.group === first.group &&
        q.integer === first.integer,
    )
  );
}

/**
 * One to three linears with quantised weights of one form over one x, which is brought into that form once. `activated`
 * is for use off the tape.
 */
export function quantizedLinears(
  op: string,
  x: Tensor,
  members: readonly QuantizedMember[],
  activated: Activated | null = null,
): Tensor[] {
  const { backend, dtype } = x;
  const m = x.shape[0]!;
  const ys = members.map(({ weight }) => empty([m, weight.outFeatures], dtype, backend));
  const parts = members.map(({ weight, bias, residual }, i) => ({
    weight,
    stored: weight.packed,
    ...{ bias, residual: residual ?? null, y: ys[i]! },
  }));
  multiply(x, parts, false, activated);
  if (wantsGrad(x, ...addedTo(members))) recordLinears(op, x, members, ys);
  return ys;
}

/** Bias and residual of each member. */
function addedTo(members: readonly QuantizedMember[]): (Tensor | null)[] {
  return members.flatMap(({ bias, residual }) => [bias, residual ?? null]);
}

/** The rule holds weights and shapes alone: x, results and what is added to them may be freed before it runs. */
function recordLinears(
  op: string,
  x: Tensor,
  members: readonly QuantizedMember[],
  ys: readonly Tensor[],
): void {
  const { backend, dtype } = x;
  const [m, k] = x.shape as [number, number];
  const weights = members.map(({ weight }) => weight);
  const saved = x.requiresGrad ? weights.map((weight) => weight.packedTranspose) : [];
  const rule = (dys: readonly (Tensor | null)[], node: GradNode): void => {
    // First, so that where a residual is x itself its gradient is added in the same pass.
    dys.forEach((dy, i) => {
      if (dy) node.give(2 + 2 * i, dy);
    });
    if (node.needs(0)) {
      const { before, dx } = onTop(node, 0, { shape: [m, k], dtype, backend });
      let residual = before;
      dys.forEach((dy, i) => {
        if (!dy) return;
        const [weight, stored] = [weights[i]!, node.saved[i]!];
        multiply(dy, [{ weight, stored, bias: null, residual, y: dx }], true, null);
        residual = dx;
      });
      node.give(0, dx);
      before?.dispose();
    }
    dys.forEach((dy, i) => {
      const n = weights[i]!.outFeatures;
      if (dy && node.needs(1 + 2 * i)) node.give(1 + 2 * i, sumGroups(dy, m, n, 0, [n]));
    });
  };
  const inputs = [x, ...addedTo(members)];
  if (ys.length === 1) record(op, ys[0]!, inputs, saved, (dy, node) => rule([dy], node));
  else recordMany(op, ys, inputs, saved, (node) => rule(node.parts!, node));
}

interface Part {
  weight: FrozenWeight;
  stored: Tensor;
  bias: Tensor | null;
  /** May be y. */
  residual: Tensor | null;
  y: Tensor;
}

/** y = act(x) Wᵀ + bias + residual of each part, or x W + residual of one if reverse. */
function multiply(
  x: Tensor,
  parts: readonly Part[],
  reverse: boolean,
  activated: Activated | null,
): void {
  const { inFeatures, quantization: q } = parts[0]!.weight;
  const handles = [x.handle, activated?.gate?.handle ?? 0];
  for (const { stored, bias, residual, y } of parts) {
    handles.push(stored.handle, bias?.handle ?? 0, residual?.handle ?? 0, y.handle);
  }
  while (handles.length < 2 + 4 * launchLimits.linears) handles.push(0);
  const sizes = parts.map(({ weight }) => weight.outFeatures);
  while (sizes.length < launchLimits.linears) sizes.push(0);
  const integer = q!.integer && !reverse ? 1 : 0;
  const form = [x.code, q!.bits, q!.group, integer, reverse ? 1 : 0];
  const args = [...form, activated?.code ?? NO_ACTIVATION, x.shape[0]!, inFeatures, ...sizes];
  x.backend.launch('linear_quantized', handles, args);
}
