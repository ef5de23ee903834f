import {
  concat,
  type ForwardContext,
  InputError,
  type LayerHook,
  type Linear,
  type LinearAdapter,
  ones,
  scale,
  type Tensor,
} from '@unimoer/core';
import type { AdapterConfig, ExpertConfig, LoraConfig, MoeLoraConfig } from './config';
import {
  type AdapterParameter,
  type BuildOptions,
  createPair,
  LoraAdapter,
  loraScale,
  MoeLoraAdapter,
} from './lora';
import { matchLinears } from './match';
import { createRouter } from './registry';
import type { Router, Routing } from './router';

export interface AttachOptions extends BuildOptions {
  /** Width of the hidden states that routers read. */
  hiddenSize: number;
}

/** An adapter that sits on a backbone's linears until `detach`. */
export interface AttachedAdapter {
  readonly config: AdapterConfig;
  /** Adapted linears in the backbone's order. */
  readonly linears: readonly Linear[];
  /** Index of the lowest adapted layer: everything below it is the frozen backbone. */
  readonly lowestLayer: number;
  /** Experts inside the simplex, in the order of the gates' columns; empty for plain LoRA. */
  readonly routedExperts: readonly ExpertConfig[];
  /** For the `hooks` of each forward context; empty for plain LoRA. */
  readonly hooks: readonly LayerHook[];
  parameters(): AdapterParameter[];
  /** Tells routers with noise which step it is. */
  beginStep(step: number): void;
  /** What the router decided during the forward pass of `ctx`, by layer. */
  routings(ctx: ForwardContext): readonly Routing[];
  /** Takes the adapter off the linears and frees it. */
  detach(): void;
}

interface Fitted extends LinearAdapter {
  readonly linear: Linear;
  parameters(): AdapterParameter[];
  dispose(): void;
}

/**
 * Puts LoRA or MoE-LoRA on the linears that the configuration names. Throws InputError for patterns that
 * match nothing, invalid ranks or router options, and for a linear that already carries an adapter.
 */
export function attachAdapter(
  linears: readonly Linear[],
  config: AdapterConfig,
  options: AttachOptions,
): AttachedAdapter {
  const targets = matchLinears(linears, config.target, config.layers);
  const taken = targets.find((linear) => linear.adapter !== null);
  if (taken) {
    throw new InputError({
      where: `adapter on ${taken.name}`,
      got: 'a linear that already carries one',
      expected: 'a bare linear',
      remedy: 'detach the other adapter first',
    });
  }
  const built =
    config.kind === 'lora'
      ? plainLora(targets, config, options)
      : mixture(targets, config, options);
  for (const fitted of built.fitted) fitted.linear.adapter = fitted;
  return {
    config,
    linears: targets,
    lowestLayer: Math.min(...targets.map((linear) => linear.layer)),
    routedExperts: built.routedExperts,
    hooks: built.hooks,
    parameters: () => [...built.fitted.flatMap((f) => f.parameters()), ...built.routerParameters],
    beginStep: built.beginStep,
    routings: built.routings,
    detach() {
      for (const fitted of built.fitted) {
        if (fitted.linear.adapter === fitted) fitted.linear.adapter = null;
        fitted.dispose();
      }
      for (const { tensor } of built.routerParameters) tensor.dispose();
    },
  };
}

interface Built {
  fitted: Fitted[];
  routedExperts: readonly ExpertConfig[];
  routerParameters: AdapterParameter[];
  hooks: LayerHook[];
  beginStep(step: number): void;
  routings(ctx: ForwardContext): readonly Routing[];
}

function plainLora(targets: Linear[], config: LoraConfig, options: AttachOptions): Built {
  const { rank, alpha = 2 * rank, rsLora = false, initKey = 'lora' } = config;
  const s = loraScale(rank, alpha, rsLora);
  return {
    fitted: targets.map(
      (linear) =>
        new LoraAdapter(linear, createPair(linear, rank, s, initKey, options), 'shared', options),
    ),
    routedExperts: [],
    routerParameters: [],
    hooks: [],
    beginStep: () => undefined,
    routings: () => [],
  };
}

function mixture(targets: Linear[], config: MoeLoraConfig, options: AttachOptions): Built {
  const routed = config.experts.filter((expert) => !expert.alwaysOn);
  const constant = config.experts.filter((expert) => expert.alwaysOn);
  const names = new Set(config.experts.map((expert) => expert.name));
  if (routed.length === 0 || names.size < config.experts.length) {
    throw new InputError({
      where: 'adapter experts',
      got: config.experts.map((expert) => expert.name).join(', ') || 'none',
      expected: 'different names, at least one of them routed',
      remedy: 'rename or add an expert without alwaysOn',
    });
  }
  const experts = [...routed, ...constant];
  const layers = [...new Set(targets.map((linear) => linear.layer))].sort((a, b) => a - b);
  const router = createRouter(
    config.router.name,
    { ...options, experts: routed, layers },
    (config.router.options ?? {}) as Readonly<Record<string, unknown>>,
  );
  const hook = new RoutingHook(router, layers, config.gateGain ?? 1, constant.length);
  return {
    fitted: targets.map((linear) => {
      const pairs = experts.map(({ name, rank, alpha = 2 * rank }) =>
        createPair(linear, rank, loraScale(rank, alpha, config.rsLora ?? false), name, options),
      );
      return new MoeLoraAdapter(linear, experts, pairs, options);
    }),
    routedExperts: routed,
    routerParameters: router.parameters(),
    hooks: [hook],
    beginStep: (step) => {
      hook.step = step;
    },
    routings: (ctx) => hook.routings(ctx),
  };
}

/** Computes a layer's gates once, on its input, for all of its adapted linears. */
class RoutingHook implements LayerHook {
  step = 0;
  private readonly decisions = new WeakMap<ForwardContext, Routing[]>();
  private readonly adapted: ReadonlySet<number>;

  constructor(
    private readonly router: Router,
    layers: readonly number[],
    private readonly gain: number,
    private readonly constantExperts: number,
  ) {
    this.adapted = new Set(layers);
  }

  beginLayer(layer: number, hidden: Tensor, ctx: ForwardContext): void {
    ctx.gates = null;
    if (!this.adapted.has(layer)) return;
    const routing = this.router.route({ layer, hidden, ctx, step: this.step });
    const routed = this.gain === 1 ? routing.gates : scale(routing.gates, this.gain);
    const { rowToGate, sparse = false } = routing;
    ctx.gates = { gates: this.withConstant(routed), rowToGate, sparse };
    const list = this.decisions.get(ctx);
    if (list) list.push(routing);
    else this.decisions.set(ctx, [routing]);
  }

  routings(ctx: ForwardContext): readonly Routing[] {
    return this.decisions.get(ctx) ?? [];
  }

  private withConstant(gates: Tensor): Tensor {
    if (this.constantExperts === 0) return gates;
    const { backend, dtype } = gates;
    const column = ones([gates.shape[0]!, this.constantExperts], { backend, dtype });
    return concat([gates, column], -1);
  }
}
