import type { Task } from '@unimoer/core';

/**
 * Which linears carry an adapter: a name pattern or a list of them. A pattern with `*` or `?` is a
 * glob over the dotted name (`*` also crosses dots), `/…/` is a regular expression, `all` is every
 * linear, and anything else must equal the name or its last dotted parts (`query`,
 * `attention.self.query`), as PEFT's `target_modules` does.
 */
export type TargetPattern = string | readonly string[];

/** Fields that plain LoRA and MoE-LoRA share. */
export interface AdapterBase {
  target: TargetPattern;
  /** Layers that are adapted, by index; every layer when absent. */
  layers?: readonly number[];
  /** rsLoRA (Kalajdzievski 2023): scale alpha / sqrt(r) in place of alpha / r. */
  rsLora?: boolean;
}

/** One low-rank pair per linear: y = x Wᵀ + s·(x Aᵀ)Bᵀ (Hu et al. 2022, equation 3). */
export interface LoraConfig extends AdapterBase {
  kind: 'lora';
  rank: number;
  /** Numerator of the scale; 2·rank when absent. */
  alpha?: number;
  /**
   * Names the random stream of the initial A. Two adapters with the same key, seed and shapes start
   * from the same bits, which makes a hard switch comparable with dedicated adapters.
   */
  initKey?: string;
}

/** One expert of a mixture. */
export interface ExpertConfig {
  name: string;
  rank: number;
  /** Numerator of the scale; 2·rank when absent. */
  alpha?: number;
  /** The task that the expert is meant for, or shared by both. */
  task: Task | 'shared';
  /** Outside the simplex with a constant gate of 1 (DeepSeekMoE's shared expert). */
  alwaysOn?: boolean;
}

/** What one routing decision covers. */
export type Granularity = 'token' | 'sequence' | 'layer' | 'task';

/** Produces the logits of the routed experts. */
export interface ScorerConfig {
  /** `linear` and `mlp` read the hidden state; `bias` is a free vector per layer (and per task). */
  kind: 'linear' | 'mlp' | 'bias';
  /** Width of the MLP's hidden layer; 64 when absent. */
  hidden?: number;
  /** Keeps the router's gradient out of the backbone's hidden states. */
  detachInput?: boolean;
  /** Standard deviation of the last layer's initial weights; 0 (uniform gates at the start) when absent. */
  initStd?: number;
}

/** Random change of the logits in training. */
export interface PerturbationConfig {
  kind: 'none' | 'gaussian';
  /** Standard deviation of the added noise. */
  scale?: number;
}

/** Turns logits into gates. */
export type MapConfig =
  | { kind: 'softmax' }
  | {
      kind: 'topK';
      k: number;
      /** `one` divides by the selected mass (Mixtral), `none` keeps it (Switch). */
      renormalize?: 'one' | 'none';
    }
  | {
      kind: 'sparsegen';
      /** Initial sparsity λ < 0.99, one learned value per layer; -1.589 when absent (LD-MoLE). */
      initialSparsity?: number;
      /** Keeps λ at its initial value. */
      fixed?: boolean;
    };

/** Settings of the built-in `pipeline` router. */
export interface PipelineRouterConfig {
  granularity: Granularity;
  /** Whether each layer decides for itself or the first adapted layer decides for all. */
  tie?: 'layer' | 'network';
  scorer: ScorerConfig;
  perturbation?: PerturbationConfig;
  map: MapConfig;
}

/** Auxiliary router losses; the trainer adds them with these weights. */
export interface RouterLossConfig {
  /** Coefficient of N Σ f P (Switch, equation 4) over the dense probabilities of both tasks. */
  balance?: number;
  /** Coefficient and δ of the task-conditional form (LoRAMoE's localised constraint). */
  taskBalance?: { coefficient: number; delta: number };
  /** Coefficient of the router z-loss, mean logsumexp² (ST-MoE, equation 5). */
  zLoss?: number;
  /** Share of the steps over which the coefficients rise from 0; 0.1 when absent. */
  warmupFraction?: number;
  /** Whether the coefficients fall linearly to 0 after the warm-up. */
  anneal?: boolean;
}

/** A mixture of LoRA experts with one router. */
export interface MoeLoraConfig extends AdapterBase {
  kind: 'moe';
  experts: readonly ExpertConfig[];
  /** A name known to the router registry and the options that its factory takes. */
  router: { name: string; options?: Readonly<Record<string, unknown>> | PipelineRouterConfig };
  losses?: RouterLossConfig;
  /**
   * Factor on every routed gate. Gates that sum to one shrink the adapter's output by the number of
   * experts; the number of experts as gain gives uniform gates the output of plain LoRAs side by side.
   */
  gateGain?: number;
}

export type AdapterConfig = LoraConfig | MoeLoraConfig;
