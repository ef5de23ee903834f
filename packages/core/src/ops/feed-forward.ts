import { record } from '../autograd/node';
import { scope } from '../tensor/scope';
import { empty, type Tensor } from '../tensor/tensor';
import type { FrozenWeight } from './frozen-weight';
import { linear } from './linear';
import { inOneForm, quantizedLinears } from './shared/quantized-linear';
import { checkResidual, shapeFault, wantsGrad } from './shared/check';
import { checkLinear } from './shared/low-rank';
import { onTop } from './shared/on-top';
import { packCode } from './shared/weight-pack';
import { swiglu } from './swiglu';
import { gelu, relu } from './unary';

/** A frozen weight with its bias. */
export interface Projection {
  weight: FrozenWeight;
  bias: Tensor | null;
}

/** 'gelu' is the exact one; 'swiglu' needs a gate. */
export type FeedForwardActivation = 'relu' | 'gelu' | 'gelu_tanh' | 'swiglu';

export interface FeedForwardWeights {
  up: Projection;
  /** For 'swiglu' only. */
  gate?: Projection;
  down: Projection;
}

const codes: Readonly<Record<FeedForwardActivation, number>> = {
  relu: 0,
  gelu: 1,
  gelu_tanh: 2,
  swiglu: 3,
};

/**
 * The feed-forward part of a transformer layer with frozen weights: act(x W_upᵀ + b) W_downᵀ + b, or with
 * a gate (silu(x W_gateᵀ) · x W_upᵀ) W_downᵀ (Shazeer 2020), plus a residual like x if there is one, before the one
 * rounding. x [T, d] -> [T, d] in x's dtype. A block of rows
 * passes through all products while it is in cache, so the activated [T, wide] is never stored. Saves the
 * products before the activation, one or two of [T, wide]; outside the tape nothing of that size. Trainable
 * biases, quantised weights and packs of different dtypes are computed op by op, but for quantised weights off the
 * tape, whose activation is part of the product down.
 */
export function feedForward(
  x: Tensor,
  { up, gate, down }: FeedForwardWeights,
  activation: FeedForwardActivation,
  residual: Tensor | null = null,
): Tensor {
  const parts = gate ? [up, gate, down] : [up, down];
  check(x, up, gate, down, activation);
  if (residual) checkResidual('feedForward', x, residual, up.weight.inFeatures);
  const { dtype: packed } = up.weight;
  const fused =
    up.weight.quantization === null &&
    parts.every(({ weight, bias }) => weight.dtype === packed && !bias?.requiresGrad);
  if (!fused) return composed(x, up, gate, down, activation, residual);
  const { backend, dtype } = x;
  const m = x.shape[0]!;
  const [wide, d] = [up.weight.outFeatures, up.weight.inFeatures];
  const args = [x.code, packCode(up.weight, dtype), m, d, wide, codes[activation]];
  const taped = wantsGrad(x, residual);
  const u = taped ? empty([m, wide], dtype, backend) : null;
  const g = taped && gate ? empty([m, wide], dtype, backend) : null;
  const y = empty([m, d], dtype, backend);
  const operands = (part: Projection | undefined): [number, number] =>
    part ? [part.weight.packed.handle, part.bias?.handle ?? 0] : [0, 0];
  backend.launch(
    'feed_forward',
    [
      x.handle,
      ...operands(up),
      ...operands(gate),
      ...operands(down),
      u?.handle ?? 0,
      g?.handle ?? 0,
      y.handle,
      residual?.handle ?? 0,
    ],
    args,
  );
  if (u) {
    const packs = parts.map(({ weight }) => weight.packedTranspose);
    const like = { shape: [m, d], dtype, backend };
    record('feedForward', y, [x, residual], [u, ...packs, ...(g ? [g] : [])], (dy, node) => {
      const handles = node.saved.map((t) => t.handle);
      const [su, upT] = handles;
      const [gateT, downT, sg] = gate ? handles.slice(2) : [0, handles[2], 0];
      // First, so that where the residual is x itself its gradient is added in the same pass.
      node.give(1, dy);
      if (!node.needs(0)) return;
      const { before, dx } = onTop(node, 0, like);
      backend.launch(
        'feed_forward_grad',
        [dy.handle, su!, sg!, upT!, gateT!, downT!, dx.handle, before?.handle ?? 0],
        args,
      );
      node.give(0, dx);
      before?.dispose();
    });
    u.dispose();
    g?.dispose();
  }
  return y;
}

function composed(
  x: Tensor,
  up: Projection,
  gate: Projection | undefined,
  down: Projection,
  activation: FeedForwardActivation,
  residual: Tensor | null,
): Tensor {
  const parts = gate ? [up, gate] : [up];
  const quantized = [...parts, down].every(({ weight }) => weight.quantization !== null);
  if (
    quantized &&
    inOneForm(parts.map(({ weight }) => weight)) &&
    !wantsGrad(x, residual, up.bias, gate?.bias, down.bias)
  ) {
    return scope(() => {
      const [u, g] = quantizedLinears('feedForward', x, parts);
      const activated = { code: codes[activation], gate: g ?? null };
      return quantizedLinears('feedForward', u!, [{ ...down, residual }], activated)[0]!;
    });
  }
  const wide = linear(x, up.weight, up.bias);
  const active = gate
    ? swiglu(linear(x, gate.weight, gate.bias), wide)
    : activation === 'relu'
      ? relu(wide)
      : gelu(wide, { approximate: activation === 'gelu' ? 'none' : 'tanh' });
  return linear(active, down.weight, down.bias, residual);
}

function check(
  x: Tensor,
  up: Projection,
  gate: Projection | undefined,
  down: Projection,
  activation: FeedForwardActivation,
): void {
  const op = 'feedForward';
  if (!(activation in codes)) {
    shapeFault(op, `activation '${activation}'`, Object.keys(codes).join(', '));
  }
  if ((activation === 'swiglu') !== (gate !== undefined)) {
    shapeFault(
      op,
      `'${activation}' ${gate ? 'with' : 'without'} a gate`,
      "a gate for 'swiglu' only",
    );
  }
  for (const { weight, bias } of gate ? [up, gate] : [up]) checkLinear(op, x, weight, bias);
  const [wide, d] = [up.weight.outFeatures, up.weight.inFeatures];
  if (gate && gate.weight.outFeatures !== wide) {
    shapeFault(`${op} gate`, `${gate.weight.outFeatures} outputs`, `${wide} as up`);
  }
  const { inFeatures, outFeatures, backend, name } = down.weight;
  if (inFeatures !== wide || outFeatures !== d || backend !== x.backend) {
    shapeFault(
      `${op} ${name}`,
      `[${outFeatures}, ${inFeatures}] on ${backend.name}`,
      `[${d}, ${wide}] on ${x.backend.name}`,
    );
  }
}
