import { presetNames } from '@unimoer/moe-lora';
import { z } from 'zod';

const name = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/, 'expected letters, digits, ".", "_" and "-" only');
const count = z.int().min(1);
const share = z.number().min(0).max(1);

const backbone = z.strictObject({
  name,
  label: z.string().optional(),
  /** Folder (relative to this file), `hf:ORG/NAME` or `npm:PACKAGE`. */
  model: z.string().min(1),
  licence: z.string().optional(),
});

const dataset = z.strictObject({
  name,
  label: z.string().optional(),
  /** BEIR folder, relative to this file. */
  path: z.string().min(1),
  licence: z.string().optional(),
  trainSplit: z.string().default('train'),
  testSplit: z.string().default('test'),
  /** Leaves out training queries that share a gold document with a test query. */
  leakFree: z.boolean().default(false),
});

const adapter = z.strictObject({
  target: z.union([z.string(), z.array(z.string()).min(1)]).default('all'),
  /** Adapted layers, from 0. */
  layers: z.union([z.literal('all'), z.array(z.int().min(0)).min(1)]).default('all'),
  rank: count.default(32),
  alphaPerRank: z.number().positive().default(2),
});

/** Names that `arms` knows; each stands for one way to train. */
export const armPresets = [
  'zeroShot',
  'embedOnly',
  'rerankOnly',
  'joint',
  'jointRankMatched',
  'hardSwitch',
  'hardSwitchShared',
  'moeLora',
  'frozenHead',
] as const;

const arm = z.strictObject({
  preset: z.enum(armPresets),
  /** Name in the results; the preset's when absent. */
  name: name.optional(),
  label: z.string().optional(),
  /** Rank of the adapter, or of each expert. */
  rank: count.optional(),
  /** Mixture of a `moeLora` arm. */
  mixture: z.enum(presetNames).optional(),
  /** Task weights, for a loss-weight sweep. */
  weights: z
    .strictObject({ embedding: z.number().positive(), reranking: z.number().positive() })
    .optional(),
});

const training = z.strictObject({
  steps: count,
  schedule: z.enum(['mixed', 'alternate']).default('mixed'),
  dtype: z.enum(['f32', 'bf16']).default('bf16'),
  /** Ranks of the BM25 list that hard negatives come from: first, and one past the last. */
  negativeRanks: z.tuple([z.int().min(0), z.int().min(1)]).default([0, 30]),
  /** Computes layers again in the backward pass instead of keeping their activations. */
  gradientCheckpointing: z.boolean().default(false),
  checkpointEvery: z.int().min(0).default(20),
  embedding: z.strictObject({
    queries: count,
    negatives: z.int().min(0),
    maxLength: z.int().min(8),
    temperature: z.number().positive(),
    weight: z.number().positive().default(1),
  }),
  reranking: z.strictObject({
    queries: count,
    negatives: count,
    maxLength: z.int().min(8),
    loss: z.enum(['pointwise', 'group']),
    weight: z.number().positive().default(1),
  }),
  optimizer: z.strictObject({
    lr: z.number().positive(),
    routerLr: z.number().positive().optional(),
    headLr: z.number().positive().optional(),
    weightDecay: z.number().min(0).default(0.01),
    betas: z.tuple([share, share]).default([0.9, 0.999]),
    eps: z.number().positive().default(1e-8),
    clip: z.number().positive().nullable().default(1),
    clipScope: z.enum(['global', 'perTask']).default('perTask'),
    warmupFraction: share.default(0.1),
  }),
});

const evaluation = z.strictObject({
  metrics: z.array(z.string()).min(1).default(['ndcg@10', 'map', 'recall@100', 'mrr@10']),
  batchTokens: count.default(8192),
  embedding: z.strictObject({
    maxLength: z.int().min(8),
    /** `all` searches the whole corpus; a number n the gold documents and BM25's n best per query. */
    pool: z.union([z.literal('all'), count]),
  }),
  reranking: z.strictObject({
    maxLength: z.int().min(8),
    /** Candidates per query, the head of BM25's ranking. */
    top: count,
  }),
});

const components = z.strictObject({
  /** Variances of the difference between two arms: of seeds, of queries, and the rest. */
  seed: z.number().min(0),
  query: z.number().min(0),
  residual: z.number().min(0),
});

/** One training run: the file of `unimoer train`. */
export const trainSchema = z.strictObject({
  name,
  model: z.string().min(1),
  data: z.strictObject({ path: z.string().min(1), trainSplit: z.string().default('train') }),
  seed: z.int().min(0).default(1),
  adapter: adapter.prefault({}),
  arm,
  training,
});

/** A study file without its `profile` and `profiles` keys, which are merged away before. */
export const studySchema = z.strictObject({
  name,
  question: z.string().optional(),
  seeds: z.array(z.int().min(0)).min(1),
  /** Relative drop below which interference does not matter. */
  delta: z.number().positive().max(0.5).default(0.01),
  backbones: z.array(backbone).min(1),
  datasets: z.array(dataset).min(1),
  adapter: adapter.prefault({}),
  arms: z.array(arm).min(1),
  training,
  evaluation,
  /** Variance components of an earlier run, from which `study plan` says what the design can detect. */
  pilot: z
    .strictObject({ embedding: components.optional(), reranking: components.optional() })
    .optional(),
});

/** A study with every default filled in; paths and models are still as written. */
export type StudyConfig = z.infer<typeof studySchema>;
export type ArmConfig = StudyConfig['arms'][number];
export type DatasetConfig = StudyConfig['datasets'][number];
export type BackboneConfig = StudyConfig['backbones'][number];

/** Sections that a profile may change, beside its own `reason`. */
export const profileSections = [
  'seeds',
  'adapter',
  'arms',
  'training',
  'evaluation',
  'datasets',
] as const;
