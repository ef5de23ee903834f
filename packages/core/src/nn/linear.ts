import type { FrozenWeight } from '../ops/frozen-weight';
import { linear } from '../ops/linear';
import type { Tensor } from '../tensor/tensor';
import type { ForwardContext } from './context';

/** A trainable tensor, f32. group selects optimiser settings, for example 'adapter', 'router' or 'head'. */
export interface Parameter {
  name: string;
  tensor: Tensor;
  group?: string;
}

/** Something that changes a frozen linear's output, such as LoRA. */
export interface LinearAdapter {
  /** x [T, in] -> [T, out], base included. */
  forward(x: Tensor, base: Linear, ctx: ForwardContext): Tensor;
  parameters(): Parameter[];
}

/** A frozen linear of a backbone, with a place for an adapter. */
export class Linear {
  adapter: LinearAdapter | null = null;

  constructor(
    /** For example 'encoder.layer.3.attention.self.query'. */
    readonly name: string,
    readonly layer: number,
    readonly weight: FrozenWeight,
    readonly bias: Tensor | null,
  ) {}

  /** x [T, in] -> [T, out]. */
  forward(x: Tensor, ctx: ForwardContext): Tensor {
    return this.adapter ? this.adapter.forward(x, this, ctx) : linear(x, this.weight, this.bias);
  }

  dispose(): void {
    this.weight.dispose();
    this.bias?.dispose();
  }
}
