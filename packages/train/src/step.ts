import {
  add,
  type AdamW,
  backward,
  disposeBatch,
  linearWarmupDecay,
  mean,
  noGrad,
  scale,
  scope,
  type Task,
  UnimoerError,
} from '@unimoer/core';
import { type ExampleSet, TaskSampler } from './examples';
import { FlopCounter } from './flops';
import { clipGradients } from './gradients';
import type { ArmModel, TaskParameter } from './model';
import {
  embeddingLoss,
  rerankingLoss,
  rerankingPass,
  type TaskLoss,
  TokenCache,
} from './objectives';
import type { RouterLosses } from './router-losses';
import type { StepMetrics, TrainConfig, TrainDeps } from './types';

/** What a step changes. */
export interface Trainables {
  parameters: readonly TaskParameter[];
  optimizer: AdamW;
  routerLosses: RouterLosses;
}

/** One optimiser step: forward passes of the step's tasks, one backward pass, clipping, AdamW. */
export class StepRunner {
  private readonly samplers: Record<Task, TaskSampler>;
  private readonly tokens: TokenCache;
  private readonly flops: FlopCounter;
  private readonly schedule: (step: number) => number;

  constructor(
    private readonly config: TrainConfig,
    private readonly deps: TrainDeps,
    private readonly model: ArmModel,
    examples: ExampleSet,
    private readonly trainables: Trainables,
  ) {
    const { seed, steps, optimizer } = config;
    const sampler = (task: Task): TaskSampler =>
      new TaskSampler(examples, deps.data, task, seed, config[task]);
    this.samplers = { embedding: sampler('embedding'), reranking: sampler('reranking') };
    this.tokens = new TokenCache(deps.tokenizer);
    this.flops = new FlopCounter(deps.backbone, model.adapter, config.gradientCheckpointing);
    const warmup = Math.round(steps * optimizer.warmupFraction);
    // Counted from 1, so that neither the first nor the last step has a learning rate of 0.
    const factor = linearWarmupDecay({ warmup, total: steps + 1 });
    this.schedule = (step) => factor(step + 1);
  }

  /** Before step 0: centres the reranking head on the first batch, so that training need not. */
  prepare(): void {
    const { head, arm } = this.model;
    if (!head || !arm.tasks.includes('reranking')) return;
    scope(() =>
      noGrad(() => {
        const { maxLength, negatives } = this.config.reranking;
        const draws = this.samplers.reranking.batch(0);
        const { data } = this.deps;
        const { relevance, pass } = rerankingPass(this.model, draws, data, this.tokens, maxLength);
        head.center(mean(relevance).item(), 1 / (1 + negatives));
        disposeBatch(pass.ctx.batch);
      }),
    );
  }

  /** Step `step`, from 0. */
  step(step: number): { metrics: StepMetrics; flops: number } {
    const { optimizer, parameters, routerLosses } = this.trainables;
    this.model.adapter?.beginStep(step);
    return scope(() => {
      const losses = new Map<Task, TaskLoss>();
      for (const [task, draw] of this.plan(step)) losses.set(task, this.taskLoss(task, draw));
      const passes = [...losses.values()].map((loss) => loss.pass);
      const routerLoss = routerLosses.compute(
        passes.map((pass) => pass.routings),
        step,
      );
      const terms = [...losses].map(([task, { loss }]) => scale(loss, this.config[task].weight));
      if (routerLoss) terms.push(routerLoss);
      const total = terms.reduce((sum, term) => add(sum, term));
      const metrics: StepMetrics = {
        step,
        embeddingLoss: losses.get('embedding')?.loss.item(),
        rerankingLoss: losses.get('reranking')?.loss.item(),
        routerLoss: routerLoss?.item(),
        gradNorm: 0,
        lrFactor: this.schedule(step),
        tokens: 0,
      };
      checkFinite(total.item(), step, this.config.arm.name);
      backward(total);
      for (const { ctx } of passes) disposeBatch(ctx.batch);
      metrics.gradNorm = clipGradients(parameters, this.config.optimizer);
      optimizer.step(metrics.lrFactor);
      optimizer.zeroGrad();
      let flops = 0;
      for (const { lengths } of losses.values()) {
        flops += this.flops.training(lengths);
        metrics.tokens += lengths.reduce((a, b) => a + b, 0);
      }
      return { metrics, flops };
    });
  }

  /** The tasks of a step and which of their batches it takes. */
  private plan(step: number): [Task, number][] {
    const { arm, schedule } = this.config;
    if (schedule === 'mixed' || arm.tasks.length === 1)
      return arm.tasks.map((task) => [task, step]);
    const task = step % 2 === 0 ? 'embedding' : 'reranking';
    return [[task, Math.floor(step / 2)]];
  }

  private taskLoss(task: Task, k: number): TaskLoss {
    const draws = this.samplers[task].batch(k);
    const { data } = this.deps;
    return task === 'embedding'
      ? embeddingLoss(this.model, draws, data, this.tokens, this.config.embedding)
      : rerankingLoss(this.model, draws, data, this.tokens, this.config.reranking);
  }
}

function checkFinite(loss: number, step: number, arm: string): void {
  if (Number.isFinite(loss)) return;
  throw new UnimoerError(
    'NOT_FINITE',
    `arm ${arm}, step ${step}: got loss ${loss}, expected a finite number; lower the learning rate`,
  );
}
