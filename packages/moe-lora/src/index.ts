export type {
  AdapterBase,
  AdapterConfig,
  ExpertConfig,
  Granularity,
  LoraConfig,
  MapConfig,
  MoeLoraConfig,
  PerturbationConfig,
  PipelineRouterConfig,
  RouterLossConfig,
  ScorerConfig,
  TargetPattern,
} from './config.js';
