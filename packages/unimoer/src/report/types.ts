/**
 * What a finished (or partly finished) study hands to the report. Plain JSON: the report is a pure function of it, so
 * two equal `StudyResults` give byte-equal reports. No field outside `environment` may hold a path or a host fact, and
 * only fields named `seconds`, `timing`, `environment` and `createdAt` may differ between two runs of one study.
 */

export type Endpoint = 'embedding' | 'reranking';

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/**
 * What an arm is for in the comparisons.
 * `zeroShot`: no adapter. `dedicated`: trained on one task (`tasks` says which); the reference of that endpoint.
 * `joint`: one LoRA for both tasks at the dedicated rank: the arm the verdicts are about.
 * `jointRankMatched`: one LoRA whose trainable parameters match the MoE arm. `hardSwitch`: one adapter per task, chosen
 * by the task. `moe`: routed experts. `control`: anything else (loss-weight sweep, frozen backbone, …).
 */
export type ArmRole =
  | 'zeroShot'
  | 'dedicated'
  | 'joint'
  | 'jointRankMatched'
  | 'hardSwitch'
  | 'moe'
  | 'control';

export interface ArmInfo {
  /** The name used in the YAML and in report.json, e.g. `embedOnly`. */
  arm: string;
  /** Words for people, e.g. `Embedding-only LoRA`. */
  label: string;
  role: ArmRole;
  /** Tasks it was trained on; empty for the zero-shot arm. */
  tasks: Endpoint[];
  /** One sentence: adapter kind, rank, router, and anything that sets it apart. */
  description: string;
  /** Total adapter rank per adapted linear; 0 without adapters. */
  rank: number;
  /** True when the cells were put together from other arms' cells instead of trained. */
  composed?: boolean;
}

export interface BackboneInfo {
  backbone: string;
  label: string;
  parameters: number;
  layers: number;
  dim: number;
  licence?: string;
}

/** Whether training saw the gold documents of a test query (reference: the validity trap). */
export type QueryGroup = 'seen' | 'unseen';

export interface EndpointSetup {
  /** Metric that carries the verdict, e.g. `ndcg@10`. Every `EndpointResult.perQuery` entry holds it. */
  primaryMetric: string;
  /** Words: what is ranked, e.g. `gold documents and BM25's five best per query`. */
  pool: string;
  /** Documents in that pool (embedding) or candidates per query (reranking). */
  poolSize: number;
  /** Tokens a text or a pair is cut to. */
  maxLength: number;
}

export interface DatasetInfo {
  dataset: string;
  label: string;
  split: string;
  documents: number;
  queries: number;
  trainQueries: number;
  licence?: string;
  endpoints: Partial<Record<Endpoint, EndpointSetup>>;
  /** qid → group; every evaluated query is in it. */
  groups: Record<string, QueryGroup>;
  /** Words: what `seen` means here, e.g. `all gold documents are training positives`. */
  groupRule: string;
}

export interface EndpointResult {
  /** Means over the queries, by lower-case metric name, e.g. `ndcg@10`, `recall@100`. */
  metrics: Record<string, number>;
  /** qid → metric → value; at least the endpoint's primary metric. */
  perQuery: Record<string, Record<string, number>>;
}

export interface LossPoint {
  step: number;
  loss: number;
}

export interface RoutingLayer {
  layer: number;
  /** Mean gate mass per expert over the routed units of each task (sums to 1 for routers on the simplex). */
  mass: Record<Endpoint, number[]>;
  /** Units whose largest gate is expert e. */
  argmax?: Record<Endpoint, number[]>;
  /** Mean number of experts with a gate above zero. */
  activeExperts: Record<Endpoint, number>;
}

export interface RoutingRecord {
  /** Expert names in gate order, e.g. `embedding`, `reranking`, `shared`. */
  experts: string[];
  /** What one gate vector belongs to. */
  unit: 'sequence' | 'token' | 'task';
  /** How many units of each task the masses average over. */
  units: Record<Endpoint, number>;
  /** Words: which texts, e.g. `300 test queries and 1,237 documents`. */
  source: string;
  layers: RoutingLayer[];
}

/** One arm × seed × dataset × backbone. */
export interface CellResult {
  arm: string;
  /** null for the zero-shot arm. */
  seed: number | null;
  dataset: string;
  backbone: string;
  /** null where the arm was not evaluated on that endpoint. */
  embedding: EndpointResult | null;
  reranking: EndpointResult | null;
  trainableParameters: number;
  /** Training tokens. */
  tokens: number;
  steps: number;
  /** Training examples per task. */
  examples: Partial<Record<Endpoint, number>>;
  /** Floating-point operations of training, counted from shapes (not measured). */
  flops: number;
  seconds: number;
  losses: Partial<Record<Endpoint, LossPoint[]>>;
  routing: RoutingRecord | null;
}

/** A ranking that needs no training, shown beside the arms: BM25, a random order, a published value. */
export interface Baseline {
  name: string;
  label: string;
  dataset: string;
  endpoint: Endpoint;
  metrics: Record<string, number>;
  perQuery?: Record<string, Record<string, number>>;
}

/** Something the profile made smaller than the full study, and why. */
export interface ProfileCut {
  what: string;
  full: string;
  used: string;
  reason: string;
}

export interface StudyResults {
  study: string;
  /** One sentence for the page head; a default question is printed when absent. */
  question?: string;
  profile: string;
  /** Resolved configuration without paths or host facts. */
  config: Json;
  backbones: BackboneInfo[];
  datasets: DatasetInfo[];
  /** In display order. */
  arms: ArmInfo[];
  /** Seeds of the design, ascending. */
  seeds: number[];
  /** True when arms of one seed share initialisation and data order, so that seeds pair. */
  pairedSeeds: boolean;
  /** Relative drop below which interference does not matter; 0.01 unless the study says otherwise. */
  delta: number;
  cells: CellResult[];
  baselines: Baseline[];
  cuts: ProfileCut[];
  /** Warnings the run counted, e.g. truncated texts. */
  warnings: string[];
  reproduce: {
    /** Command lines, from a clean checkout, without host paths. */
    commands: string[];
    /** Content hashes and versions, e.g. `{ data: 'sha256:…', weights: 'sha256:…', code: '0.1.0' }`. */
    versions: Record<string, string>;
  };
  environment: { [key: string]: Json };
  timing: { [key: string]: Json };
  createdAt?: string;
}

/** What `writeReport` produces, by path relative to the report folder. */
export type ReportFiles = Map<string, string>;
