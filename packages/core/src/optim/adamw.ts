import { launchLimits } from '../backend/kernels';
import { DTypeError, FormatError, ShapeError } from '../errors';
import type { Parameter } from '../nn/linear';
import { zeros } from '../tensor/create';
import { keep } from '../tensor/scope';
import type { Tensor } from '../tensor/tensor';

/** Settings of AdamW; groups override lr and weightDecay for parameters of that group. */
export interface AdamWOptions {
  lr: number;
  betas?: readonly [number, number];
  eps?: number;
  weightDecay?: number;
  groups?: Record<string, { lr?: number; weightDecay?: number }>;
}

interface Slot {
  parameter: Parameter;
  m: Tensor;
  v: Tensor;
  step: number;
  lr: number;
  weightDecay: number;
}

function sameSettings(a: Slot, b: Slot): boolean {
  return (
    a.step === b.step &&
    a.lr === b.lr &&
    a.weightDecay === b.weightDecay &&
    a.parameter.tensor.backend === b.parameter.tensor.backend &&
    a.parameter.tensor.dtype === b.parameter.tensor.dtype
  );
}

/** AdamW (Loshchilov & Hutter 2019), the same arithmetic as torch.optim.AdamW. Parameters and moments are f32. */
export class AdamW {
  private readonly slots: Slot[];
  private readonly options: Required<AdamWOptions>;

  constructor(parameters: readonly Parameter[], options: AdamWOptions) {
    this.options = { betas: [0.9, 0.999], eps: 1e-8, weightDecay: 0.01, groups: {}, ...options };
    const names = new Set<string>();
    this.slots = parameters.map((parameter) => {
      const { name, tensor } = parameter;
      if (names.has(name)) {
        throw new ShapeError({
          where: 'AdamW',
          got: `two parameters named ${name}`,
          expected: 'unique names',
        });
      }
      names.add(name);
      if (tensor.dtype !== 'f32' && tensor.dtype !== 'f64') {
        throw new DTypeError({ where: `AdamW ${name}`, got: tensor.dtype, expected: 'f32' });
      }
      const { dtype, backend, shape } = tensor;
      const moment = (): Tensor => keep(zeros(shape, { dtype, backend }));
      return { parameter, m: moment(), v: moment(), step: 0, lr: 0, weightDecay: 0 };
    });
  }

  /** Updates every parameter that has a gradient; lrFactor comes from a schedule. */
  step(lrFactor = 1): void {
    const { lr, weightDecay, groups } = this.options;
    let batch: Slot[] = [];
    for (const slot of this.slots) {
      const { tensor, group } = slot.parameter;
      if (tensor.grad === null) continue;
      const own = group === undefined ? undefined : groups[group];
      slot.step++;
      slot.lr = (own?.lr ?? lr) * lrFactor;
      slot.weightDecay = own?.weightDecay ?? weightDecay;
      const first = batch[0];
      if (first && (batch.length === launchLimits.adamwTensors || !sameSettings(first, slot))) {
        this.launch(batch);
        batch = [];
      }
      batch.push(slot);
    }
    if (batch.length > 0) this.launch(batch);
  }

  /** One launch for tensors with the same settings. */
  private launch(batch: readonly Slot[]): void {
    const { betas, eps } = this.options;
    const { step, lr, weightDecay, parameter } = batch[0]!;
    const handles = new Array<number>(4 * launchLimits.adamwTensors).fill(0);
    const sizes = new Array<number>(launchLimits.adamwTensors).fill(0);
    batch.forEach(({ parameter: { tensor }, m, v }, i) => {
      handles.splice(4 * i, 4, tensor.handle, tensor.grad!.handle, m.handle, v.handle);
      sizes[i] = tensor.size;
    });
    parameter.tensor.backend.launch('adamw', handles, [
      lr,
      ...betas,
      eps,
      weightDecay,
      step,
      1,
      ...sizes,
    ]);
  }

  /** Frees all gradients. */
  zeroGrad(): void {
    for (const { parameter } of this.slots) {
      parameter.tensor.grad?.dispose();
      parameter.tensor.grad = null;
    }
  }

  /** Moments as `NAME.m`, `NAME.v` (the live tensors) and step counts as `NAME.step`. */
  stateDict(): Record<string, Tensor | number> {
    const state: Record<string, Tensor | number> = {};
    for (const { parameter, m, v, step } of this.slots) {
      state[`${parameter.name}.m`] = m;
      state[`${parameter.name}.v`] = v;
      state[`${parameter.name}.step`] = step;
    }
    return state;
  }

  /** Copies a state back; refuses one of other parameters or shapes with a FormatError. */
  loadStateDict(state: Record<string, Tensor | number | ArrayLike<number>>): void {
    for (const slot of this.slots) {
      const { name } = slot.parameter;
      const step = state[`${name}.step`];
      if (typeof step !== 'number') throw new FormatError('optimiser state', `no ${name}.step`);
      slot.m.set(moments(state, `${name}.m`, slot.m.size));
      slot.v.set(moments(state, `${name}.v`, slot.v.size));
      slot.step = step;
    }
    const known = this.slots.length * 3;
    const given = Object.keys(state).length;
    if (given !== known) {
      throw new FormatError('optimiser state', `${given} entries, expected ${known}`);
    }
  }

  dispose(): void {
    for (const { m, v } of this.slots) {
      m.dispose();
      v.dispose();
    }
  }
}

function moments(
  state: Record<string, Tensor | number | ArrayLike<number>>,
  key: string,
  size: number,
): ArrayLike<number> {
  const value = state[key];
  if (value === undefined || typeof value === 'number') {
    throw new FormatError('optimiser state', `no ${key}`);
  }
  const data = 'toArray' in value ? value.toArray() : value;
  if (data.length !== size) {
    throw new FormatError('optimiser state', `${key} has ${data.length} values, expected ${size}`);
  }
  return data;
}
