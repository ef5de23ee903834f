export { type Backbone, runLayers } from './backbones/backbone';
export { BertBackbone } from './backbones/bert';
export { DecoderBackbone } from './backbones/decoder';
export {
  type BackboneFactory,
  type BackbonePlan,
  backboneNames,
  registerBackbone,
} from './backbones/registry';
export { planBatches } from './batching';
export type { BackboneConfig, BertConfig, CustomConfig, DecoderConfig } from './config/backbone';
export type { PoolingMode } from './config/sentence-transformers';
export { ClassifierHead, type RerankHead, YesNoHead } from './heads/head';
export { RerankerPrompt, rerankerTemplate, rerankerTemplateHash } from './heads/reranker-template';
export { vocabularyLogits } from './heads/vocabulary';
export type { Fields } from './json-file';
export { type LoadOptions, loadModel } from './load';
export { type LocateOptions, locateModel } from './locate';
export { Model } from './model';
export { type PoolOptions, pool } from './pooling';
export type {
  CountedWarning,
  EmbedOptions,
  EmbedResult,
  RunOptions,
  ScoreOptions,
  ScoreResult,
  TextTask,
} from './run-options';
export { type Encoded, TextTokenizer } from './tokenizer';
export { type EncodedForTraining, type TrainingView, trainingView } from './training-view';
export type { ComputeDType, QuantizedWeights, WeightReader } from './weights';
