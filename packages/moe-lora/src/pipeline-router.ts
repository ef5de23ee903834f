import {
  add,
  InputError,
  l2Normalize,
  type PackedBatch,
  Philox,
  scale,
  segmentMean,
  softmax,
  type Task,
  type Tensor,
  tensor,
} from '@unimoer/core';
import type { MapConfig, PipelineRouterConfig } from './config';
import { tasksOf } from './hard-switch';
import { streamOf } from './init';
import { createMap, type GateMap } from './maps';
import type { Router, RouterBuild, RouterInput, Routing } from './router';
import { createScorer, indices, type Scorer } from './scorers';

const TASK_INDEX: Readonly<Record<Task, number>> = { embedding: 0, reranking: 1 };

interface LayerRouter {
  scorer: Scorer;
  map: GateMap;
}

/**
 * Scorer → perturbation → map, at token, sequence, layer or task granularity. With `tie: 'network'` the
 * first adapted layer decides for all of them.
 */
export function pipelineRouter(
  build: RouterBuild,
  options: Readonly<Record<string, unknown>>,
): Router {
  const config = checkedConfig(options);
  const { granularity, tie = 'layer' } = config;
  const deciding = tie === 'network' ? build.layers.slice(0, 1) : build.layers;
  const routers = new Map<number, LayerRouter>();
  for (const layer of deciding) {
    routers.set(layer, {
      scorer: createScorer(layer, granularity, config.scorer, build),
      map: createMap(layer, config.map, build),
    });
  }
  const decided = new WeakMap<object, Routing>();

  function decide(input: RouterInput, { scorer, map }: LayerRouter): Routing {
    const { layer, ctx } = input;
    const { features, rowToGate, groupTasks } = groupsOf(input, config, build);
    const logits = perturb(scorer.score(features), input, config, build);
    const probabilities = softmax(logits);
    const { gates, sparsity } = map.apply(logits, probabilities);
    const { sparse } = map;
    const routing = {
      ...{ layer, gates, rowToGate, sparse },
      ...{ logits, probabilities, sparsity, groupTasks },
    };
    if (tie === 'network') decided.set(ctx, routing);
    return routing;
  }

  return {
    parameters: () =>
      [...routers.values()].flatMap(({ scorer, map }) => [
        ...scorer.parameters(),
        ...map.parameters(),
      ]),
    route(input) {
      const own = routers.get(input.layer);
      if (own) return decide(input, own);
      const shared = decided.get(input.ctx);
      if (shared) return { ...shared, layer: input.layer };
      throw new InputError({
        where: `router at layer ${input.layer}`,
        got: 'no decision for this forward pass',
        expected: `adapted layers ${build.layers.join(', ')}, in ascending order`,
        remedy: 'run the layers in order with one forward context',
      });
    },
  };
}

interface Groups {
  features: Tensor;
  rowToGate: Tensor;
  groupTasks: readonly Task[] | null;
}

function groupsOf(input: RouterInput, config: PipelineRouterConfig, build: RouterBuild): Groups {
  const { batch } = input.ctx;
  const hidden = config.scorer.detachInput ? input.hidden.detach() : input.hidden;
  switch (config.granularity) {
    case 'sequence':
      return {
        features: unitRms(segmentMean(hidden, batch.cuSeqlens)),
        rowToGate: batch.rowToSequence,
        groupTasks: batch.tasks ?? null,
      };
    case 'token':
      return {
        features: unitRms(hidden),
        rowToGate: indices(
          Int32Array.from({ length: batch.tokens }, (_, t) => t),
          build,
        ),
        groupTasks: batch.tasks ? perToken(batch, batch.tasks) : null,
      };
    case 'layer':
      return {
        features: indices([0], build),
        rowToGate: indices(new Int32Array(batch.tokens), build),
        groupTasks: null,
      };
    case 'task': {
      const groupTasks = tasksOf(batch, 'router with task granularity');
      return {
        features: indices(
          groupTasks.map((task) => TASK_INDEX[task]),
          build,
        ),
        rowToGate: batch.rowToSequence,
        groupTasks,
      };
    }
  }
}

/** Rows scaled to a root mean square of 1, f32: how fast a router learns then depends on no backbone's scale. */
function unitRms(x: Tensor): Tensor {
  return scale(l2Normalize(x), Math.sqrt(x.shape[1]!));
}

function perToken(batch: PackedBatch, tasks: readonly Task[]): Task[] {
  return batch.lengths.flatMap((length, s) => new Array<Task>(length).fill(tasks[s]!));
}

/** Gaussian noise in training, a function of seed, step and layer only. */
function perturb(
  logits: Tensor,
  { ctx, layer, step }: RouterInput,
  { perturbation }: PipelineRouterConfig,
  build: RouterBuild,
): Tensor {
  if (!ctx.training || !perturbation || perturbation.kind === 'none') return logits;
  const random = new Philox(build.seed, streamOf(`layer.${layer}.router.noise.${step}`));
  const scale = perturbation.scale ?? 1 / build.experts.length;
  const noise = Float32Array.from({ length: logits.size }, () => random.normal() * scale);
  const { backend, dtype } = logits;
  return add(logits, tensor(noise, [...logits.shape], { backend, dtype }));
}

const GRANULARITIES = ['token', 'sequence', 'layer', 'task'];
const SCORERS = ['linear', 'mlp', 'bias'];
const MAPS: readonly MapConfig['kind'][] = ['softmax', 'topK', 'sparsegen'];

/** Options may come from a YAML file, so the discriminating fields are checked here. */
function checkedConfig(options: Readonly<Record<string, unknown>>): PipelineRouterConfig {
  const config = options as unknown as PipelineRouterConfig;
  check('granularity', config.granularity, GRANULARITIES);
  check('tie', config.tie ?? 'layer', ['layer', 'network']);
  check('scorer.kind', config.scorer?.kind, SCORERS);
  check('map.kind', config.map?.kind, MAPS);
  check('perturbation.kind', config.perturbation?.kind ?? 'none', ['none', 'gaussian']);
  return config;
}

function check(field: string, got: unknown, expected: readonly string[]): void {
  if (typeof got === 'string' && expected.includes(got)) return;
  throw new InputError({
    where: `router option ${field}`,
    got: JSON.stringify(got) ?? 'nothing',
    expected: `one of ${expected.join(', ')}`,
    remedy: 'correct the router options',
  });
}
