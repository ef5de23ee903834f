import { createHash } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as nextTick } from 'node:timers/promises';
import { AdamW, InputError } from '@unimoer/core';
import type { MoeLoraConfig } from '@unimoer/moe-lora';
import { Checkpoints, type RunState } from './checkpoint';
import { ArmEvaluator } from './evaluate';
import { collectExamples } from './examples';
import { MetricsLog } from './metrics-log';
import { ArmModel, type TaskParameter } from './model';
import { onDisk } from './on-disk';
import { RouterLosses } from './router-losses';
import { StepRunner, type Trainables } from './step';
import type { StepMetrics, TrainConfig, TrainDeps, TrainResult, TrainSummary } from './types';

/**
 * Trains one arm. Deterministic: configuration, backbone and data decide every bit of the result, whether
 * the run was interrupted and resumed or not. An arm without tasks is returned untrained.
 *
 * Throws InputError for configurations that cannot run and for checkpoints of another run. After an error
 * or an interruption the backbone is bare again.
 */
export async function trainRun(config: TrainConfig, deps: TrainDeps): Promise<TrainResult> {
  checkConfig(config);
  const { arm, seed, gradientCheckpointing } = config;
  const model = new ArmModel(deps.backbone, arm, seed, deps.cache ?? null, gradientCheckpointing);
  try {
    const trained =
      config.arm.tasks.length > 0 ? await loop(config, deps, model) : untrained(model, config);
    if (trained.status === 'interrupted') {
      model.dispose();
      return { ...trained, model: null };
    }
    return { ...trained, model: new ArmEvaluator(model, deps.tokenizer) };
  } catch (error) {
    model.dispose();
    throw error;
  }
}

type Trained = Pick<TrainResult, 'status' | 'summary'>;

interface RunFiles {
  checkpoints: Checkpoints;
  log: MetricsLog;
}

function untrained(model: ArmModel, config: TrainConfig): Trained {
  const summary = summarize(config, model.parameters(), [], { tokens: 0, flops: 0 }, {});
  return { status: 'finished', summary: { ...summary, steps: 0 } };
}

async function loop(config: TrainConfig, deps: TrainDeps, model: ArmModel): Promise<Trained> {
  const examples = collectExamples(deps.data, config.negativeRanks);
  const parameters = model.parameters();
  const optimizer = createOptimizer(config, parameters);
  const routerLosses = new RouterLosses(
    (config.arm.adapter as MoeLoraConfig | null)?.losses ?? {},
    model.adapter?.routedExperts ?? [],
    config.steps,
  );
  const trainables = { parameters, optimizer, routerLosses };
  const files = deps.outDir === undefined ? null : openFiles(deps.outDir, config, deps);
  try {
    const runner = new StepRunner(config, deps, model, examples, trainables);
    const { status, curve, state } = await runSteps(config, deps, runner, trainables, files);
    return { status, summary: summarize(config, parameters, curve, state, examples.skipped) };
  } finally {
    files?.log.close();
    optimizer.dispose();
  }
}

async function runSteps(
  { steps, checkpointEvery }: TrainConfig,
  { resume, signal, onProgress }: TrainDeps,
  runner: StepRunner,
  { parameters, optimizer, routerLosses }: Trainables,
  files: RunFiles | null,
): Promise<{ status: Trained['status']; curve: StepMetrics[]; state: RunState }> {
  const restored = resume ? (files?.checkpoints.restore(parameters, optimizer) ?? null) : null;
  if (!restored) {
    files?.checkpoints.clear();
    runner.prepare();
  }
  const state = restored ?? { step: 0, tokens: 0, flops: 0, balance: {} };
  routerLosses.restore(state.balance);
  const curve = files?.log.rewind(state.step) ?? [];
  const checkpoint = (): void => {
    if (!files) return;
    state.balance = routerLosses.state();
    const path = files.checkpoints.save(state, parameters, optimizer);
    onProgress?.({ type: 'checkpoint', step: state.step, path });
  };
  onProgress?.({ type: 'start', step: state.step, steps, resumed: restored !== null });
  while (state.step < steps) {
    if (signal?.aborted) {
      checkpoint();
      return { status: 'interrupted', curve, state };
    }
    const started = performance.now();
    const { metrics, flops } = runner.step(state.step);
    state.step += 1;
    state.tokens += metrics.tokens;
    state.flops += flops;
    curve.push(metrics);
    files?.log.append(metrics);
    const seconds = (performance.now() - started) / 1000;
    onProgress?.({ type: 'step', metrics, steps, seconds });
    const due = checkpointEvery > 0 && state.step % checkpointEvery === 0;
    if (due || state.step === steps) checkpoint();
    await nextTick();
  }
  return { status: 'finished', curve, state };
}

function createOptimizer(
  { optimizer: o }: TrainConfig,
  parameters: readonly TaskParameter[],
): AdamW {
  return new AdamW([...parameters], {
    lr: o.lr,
    betas: [...o.betas],
    eps: o.eps,
    weightDecay: o.weightDecay,
    groups: {
      router: { lr: o.routerLr ?? o.lr, weightDecay: 0 },
      head: { lr: o.headLr ?? o.lr, weightDecay: 0 },
    },
  });
}

function openFiles(outDir: string, config: TrainConfig, deps: TrainDeps): RunFiles {
  onDisk(outDir, () => mkdirSync(outDir, { recursive: true }));
  const { backbone, data } = deps;
  const identity = JSON.stringify({
    config: { ...config, checkpointEvery: undefined },
    backbone: backbone.fingerprint,
    dtype: backbone.dtype,
    data: dataHash(data),
  });
  return {
    checkpoints: new Checkpoints(join(outDir, 'checkpoints'), identity),
    log: new MetricsLog(join(outDir, 'metrics.jsonl')),
  };
}

/** Names the data by content, so that a resumed run cannot mix two datasets. */
function dataHash(data: TrainDeps['data']): string {
  const hash = createHash('sha256');
  for (const text of data.corpus.texts) hash.update(text).update('\0');
  for (const id of data.corpus.index.keys()) hash.update(id).update('\0');
  for (const [query, grades] of data.qrels) {
    const candidates = data.candidates.get(query) ?? [];
    hash.update(JSON.stringify([query, data.queries.get(query), [...grades], candidates]));
  }
  return hash.digest('hex');
}

function summarize(
  config: TrainConfig,
  parameters: readonly TaskParameter[],
  curve: StepMetrics[],
  totals: { tokens: number; flops: number },
  skipped: Record<string, number>,
): TrainSummary {
  const groups: Record<string, number> = {};
  for (const { group = 'adapter', tensor } of parameters) {
    groups[group] = (groups[group] ?? 0) + tensor.size;
  }
  return {
    arm: config.arm.name,
    seed: config.seed,
    steps: curve.length,
    trainableParameters: Object.values(groups).reduce((a, b) => a + b, 0),
    parameterGroups: groups,
    tokens: totals.tokens,
    flops: totals.flops,
    curve,
    skipped,
  };
}

function checkConfig(config: TrainConfig): void {
  const atLeast = (where: string, got: number, least: number): void => {
    if (Number.isInteger(got) && got >= least) return;
    throw new InputError({
      where: `training option ${where}`,
      got: String(got),
      expected: `a whole number of ${least} or more`,
      remedy: 'correct the configuration',
    });
  };
  const { embedding, reranking, negativeRanks } = config;
  atLeast('steps', config.steps, 1);
  atLeast('checkpointEvery', config.checkpointEvery, 0);
  atLeast('embedding.queries', embedding.queries, 1);
  atLeast('embedding.negatives', embedding.negatives, 0);
  atLeast('reranking.queries', reranking.queries, 1);
  atLeast('reranking.negatives', reranking.negatives, 1);
  atLeast('negativeRanks[0]', negativeRanks[0], 0);
  atLeast('negativeRanks[1]', negativeRanks[1], negativeRanks[0] + 1);
  if (!(config.optimizer.lr > 0)) {
    throw new InputError({
      where: 'training option optimizer.lr',
      got: String(config.optimizer.lr),
      expected: 'a number above 0',
      remedy: 'values from 1e-4 to 1e-3 are usual for LoRA',
    });
  }
}
