export { type ArmName, type ArmOptions, armNames, studyArm } from './arms';
export { defaultTrainConfig } from './defaults';
export { tokenBatches } from './evaluate';
export {
  collectExamples,
  type Draw,
  type ExampleSet,
  TaskSampler,
  type TrainQuery,
} from './examples';
export { MemoryFeatureStore } from './features';
export { RerankHead } from './head';
export { trainRun } from './run';
export { type AttachedFolder, attachTrained } from './trained-folder';
export { trainingModel } from './training-model';
export type {
  Arm,
  EmbeddingTaskConfig,
  EncodedText,
  EvaluateOptions,
  FeatureStore,
  Judgements,
  OptimizerConfig,
  RerankingTaskConfig,
  RoutingSummary,
  StepMetrics,
  TrainableBackbone,
  TrainConfig,
  TrainDeps,
  TrainedModel,
  TrainingData,
  TrainProgress,
  TrainResult,
  TrainSummary,
  TrainTokenizer,
} from './types';
