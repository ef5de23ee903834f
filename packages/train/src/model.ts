import { ForwardContext, type Parameter, type Task, type Tensor } from '@unimoer/core';
import { type AttachedAdapter, attachAdapter, type Routing } from '@unimoer/moe-lora';
import { cachedHidden } from './features';
import { RerankHead } from './head';
import type { Arm, EncodedText, FeatureStore, TrainableBackbone } from './types';

/** A parameter with the task whose gradient norm it is clipped by. */
export type TaskParameter = Parameter & { task: Task | 'shared' };

/** Final states of one forward pass. */
export interface Pass {
  hidden: Tensor;
  ctx: ForwardContext;
  routings: readonly Routing[];
}

/** A backbone with an arm's adapter and head on it. */
export class ArmModel {
  readonly adapter: AttachedAdapter | null;
  readonly head: RerankHead | null;
  /** Layers below this one are the frozen backbone. */
  readonly frozenLayers: number;

  constructor(
    readonly backbone: TrainableBackbone,
    readonly arm: Arm,
    seed: number,
    private readonly store: FeatureStore | null,
    private readonly gradientCheckpointing: boolean,
  ) {
    const { backend, hiddenSize } = backbone;
    this.adapter = arm.adapter
      ? attachAdapter(backbone.linears(), arm.adapter, { backend, hiddenSize, seed })
      : null;
    const reranks = arm.tasks.includes('reranking');
    this.head = reranks && !backbone.yesNoLogits ? new RerankHead(hiddenSize, backend) : null;
    this.frozenLayers = this.adapter ? this.adapter.lowestLayer : backbone.layers;
  }

  get scores(): boolean {
    return this.head !== null || this.backbone.yesNoLogits !== undefined;
  }

  /** An arm with one task owns all its parameters with it. */
  parameters(): TaskParameter[] {
    const { tasks } = this.arm;
    const only = tasks.length === 1 ? tasks[0]! : null;
    return [
      ...(this.adapter?.parameters() ?? []).map((p) => ({ ...p, task: only ?? p.task })),
      ...(this.head?.parameters() ?? []).map((p) => ({ ...p, task: 'reranking' as const })),
    ];
  }

  /** Runs texts of one task through backbone and adapter. */
  forward(texts: readonly EncodedText[], task: Task, training: boolean): Pass {
    const { backbone, adapter, frozenLayers, store } = this;
    const tasks = texts.map(() => task);
    const batch = backbone.pack(texts, tasks);
    const ctx = new ForwardContext(batch, {
      training,
      hooks: [...(adapter?.hooks ?? [])],
      gradientCheckpointing: this.gradientCheckpointing,
    });
    const reuse = store !== null && frozenLayers > 0;
    const start = reuse
      ? cachedHidden(backbone, texts, tasks, frozenLayers, store)
      : backbone.embedTokens(batch, ctx);
    const hidden = backbone.runLayers(start, ctx, reuse ? frozenLayers : 0, backbone.layers);
    return { hidden, ctx, routings: adapter?.routings(ctx) ?? [] };
  }

  /** Relevance logits f32 `[pairs]`, or `[pairs, 2]` (no, yes) where the backbone reads out both. */
  relevance(pass: Pass, pairs: readonly EncodedText[]): Tensor {
    const { batch } = pass.ctx;
    if (this.backbone.yesNoLogits) return this.backbone.yesNoLogits(pass.hidden, batch);
    return this.head!.logits(pass.hidden, this.backbone.pool(pass.hidden, batch), pairs);
  }

  dispose(): void {
    this.adapter?.detach();
    this.head?.dispose();
  }
}
