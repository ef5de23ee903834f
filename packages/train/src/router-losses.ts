import { add, concat, scale, type Tensor, tensor } from '@unimoer/core';
import {
  loadBalance,
  localizedBalance,
  routedFractions,
  routerZLoss,
  taskImportance,
} from '@unimoer/losses';
import type { ExpertConfig, RouterLossConfig, Routing } from '@unimoer/moe-lora';

/** Dense probabilities and gates of the other task's latest step, per layer, as plain numbers. */
export interface BalanceWindow {
  [layer: string]: { probabilities: number[]; gates: number[] };
}

/**
 * The router's auxiliary losses: mean over layers, weighted, with coefficients that rise over the warm-up
 * (at B = 0 the router hears nothing else) and may fall to 0 afterwards. Balance is taken over the groups
 * of both tasks; where a step trains one of them, the other's latest groups join as constants.
 */
export class RouterLosses {
  private window: BalanceWindow = {};

  constructor(
    private readonly config: RouterLossConfig,
    private readonly experts: readonly ExpertConfig[],
    private readonly steps: number,
  ) {}

  /** Share of the coefficients at a step (from 0). */
  factor(step: number): number {
    const { warmupFraction = 0.1, anneal = false } = this.config;
    const warmup = Math.max(1, Math.round(this.steps * warmupFraction));
    if (step < warmup) return (step + 1) / warmup;
    return anneal ? Math.max(0, (this.steps - step) / Math.max(1, this.steps - warmup)) : 1;
  }

  /**
   * Weighted sum for one step; null without routers or coefficients. `passes` holds the decisions of each
   * forward pass of the step.
   */
  compute(passes: readonly (readonly Routing[])[], step: number): Tensor | null {
    const { balance = 0, taskBalance, zLoss = 0 } = this.config;
    const layers = byLayer(passes);
    const terms: Tensor[] = [];
    const spansTasks = passes.filter((routings) => routings.length > 0).length > 1;
    const next: BalanceWindow = {};
    for (const [layer, routings] of layers) {
      const probabilities = stacked(routings.map((r) => r.probabilities!));
      const gates = stacked(routings.map((r) => r.gates.detach()));
      if (balance > 0) {
        const seen = this.window[layer];
        const joined = !spansTasks && seen;
        const allProbabilities = joined
          ? concat([probabilities, like(seen.probabilities, probabilities)], 0)
          : probabilities;
        const allGates = joined ? concat([gates, like(seen.gates, gates)], 0) : gates;
        terms.push(scale(loadBalance(allProbabilities, routedFractions(allGates)), balance));
        if (!spansTasks) {
          next[layer] = {
            probabilities: Array.from(probabilities.toArray()),
            gates: Array.from(gates.toArray()),
          };
        }
      }
      if (taskBalance) terms.push(this.taskTerm(routings, probabilities, taskBalance));
      if (zLoss > 0) {
        terms.push(scale(routerZLoss(stacked(routings.map((r) => r.logits!))), zLoss));
      }
    }
    this.window = next;
    if (terms.length === 0) return null;
    const total = terms.reduce((sum, term) => add(sum, term));
    return scale(total, this.factor(step) / layers.size);
  }

  private taskTerm(
    routings: readonly Routing[],
    probabilities: Tensor,
    { coefficient, delta }: { coefficient: number; delta: number },
  ): Tensor {
    const owners = this.experts.map((expert) => expert.task);
    const tasks = routings.flatMap((routing) => routing.groupTasks ?? []);
    // A decision that spans both tasks belongs to neither, so every expert has importance 1.
    const importance =
      tasks.length > 0
        ? taskImportance(tasks, owners, delta)
        : new Float32Array(probabilities.size).fill(1);
    return scale(localizedBalance(probabilities, like(importance, probabilities)), coefficient);
  }

  /** What a checkpoint must keep. */
  state(): BalanceWindow {
    return this.window;
  }

  restore(window: BalanceWindow): void {
    this.window = window;
  }
}

/** Learned decisions by layer; layers that repeat an earlier one's are left out. */
function byLayer(passes: readonly (readonly Routing[])[]): Map<number, Routing[]> {
  const layers = new Map<number, Routing[]>();
  for (const routings of passes) {
    const seen = new Set<Tensor>();
    for (const routing of routings) {
      if (!routing.probabilities || seen.has(routing.probabilities)) continue;
      seen.add(routing.probabilities);
      const list = layers.get(routing.layer);
      if (list) list.push(routing);
      else layers.set(routing.layer, [routing]);
    }
  }
  return layers;
}

function stacked(parts: readonly Tensor[]): Tensor {
  return parts.length === 1 ? parts[0]! : concat([...parts], 0);
}

function like(values: ArrayLike<number>, other: Tensor): Tensor {
  const columns = other.shape[1]!;
  return tensor(values, [values.length / columns, columns], {
    dtype: other.dtype,
    backend: other.backend,
  });
}
