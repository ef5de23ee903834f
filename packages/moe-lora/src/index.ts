export { type AttachedAdapter, type AttachOptions, attachAdapter } from './attach';
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
} from './config';
export { loadAdapter, saveAdapter } from './folder';
export { type InitOptions, kaimingUniform, streamOf } from './init';
export { type AdapterParameter, type BuildOptions, loraScale } from './lora';
export { DEFAULT_SPARSITY } from './maps';
export { matchLinears } from './match';
export { parameterEntries, readParameters } from './parameters';
export { loadPeft, savePeft } from './peft';
export { moePreset, type PresetName, type PresetOptions, presetNames } from './presets';
export { createRouter, registerRouter, routerNames } from './registry';
export type { Router, RouterBuild, RouterFactory, RouterInput, Routing } from './router';
export { RoutingRecorder, type RoutingStatistics } from './routing-recorder';
