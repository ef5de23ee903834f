export { backward } from './autograd/backward';
export { checkpoint } from './autograd/checkpoint';
export { gradEnabled, noGrad } from './autograd/node';
export { type KernelName, kernelNames } from './backend/kernels';
export {
  type BackendInfo,
  backendInfo,
  getBackend,
  memory,
  setDefaultBackend,
  setThreads,
} from './backend/registry';
export type { Backend, Handle, MemoryStats } from './backend/types';
export { bf16ToFloat32, float32ToBf16 } from './bf16';
export { type DType, dtypeBytes } from './dtype';
export {
  BackendError,
  type Complaint,
  DisposedError,
  DTypeError,
  FileError,
  FormatError,
  InputError,
  OutOfMemoryError,
  ShapeError,
  UnimoerError,
} from './errors';
export { atomicWrite, fileError } from './io/atomic-write';
export { openCheckpoint } from './io/checkpoint';
export {
  readSafetensors,
  SafetensorsFile,
  type TensorData,
  type TensorSource,
  writeSafetensors,
} from './io/safetensors';
export type { SafetensorsDType } from './io/safetensors-header';
export {
  disposeBatch,
  type PackBatchOptions,
  type PackedBatch,
  packBatch,
  type Task,
} from './nn/batch';
export { ForwardContext, type LayerGates, type LayerHook } from './nn/context';
export {
  forwardFeedForward,
  forwardTogether,
  Linear,
  type LinearAdapter,
  type Parameter,
} from './nn/linear';
export { type AttentionOptions, attention, type RopeOptions, rope } from './ops/attention';
export { add, div, mul, sub } from './ops/binary';
export { cast } from './ops/cast';
export { type ContrastiveOptions, contrastive } from './ops/contrastive';
export { crossEntropy } from './ops/cross-entropy';
export { type DropoutOptions, dropout } from './ops/dropout';
export { FrozenWeight, type PackOptions, type WeightDType } from './ops/frozen-weight';
export type { Quantization, QuantizeOptions } from './ops/shared/quantized';
export { gatherRows } from './ops/gather';
export { layerNorm } from './ops/layer-norm';
export { concat, sliceCols, sliceRows, transpose } from './ops/layout';
export { adaptedLinear, type GroupMember, linearGroup } from './ops/adapted-linear';
export type { LowRank } from './ops/shared/low-rank';
export {
  feedForward,
  type FeedForwardActivation,
  type FeedForwardWeights,
  type Projection,
} from './ops/feed-forward';
export { linear } from './ops/linear';
export { type MatmulOptions, matmul } from './ops/matmul';
export { l2Normalize, segmentMean } from './ops/pooling';
export { rmsNorm, rmsNormResidual } from './ops/rms-norm';
export { rmsNormRope } from './ops/rms-norm-rope';
export { sparsegen, topKMask } from './ops/routing';
export { logSoftmax, softmax } from './ops/softmax';
export type { ReduceAxis } from './ops/shared/sum-groups';
export { mean, sum } from './ops/sum';
export { swiglu } from './ops/swiglu';
export {
  abs,
  addScalar,
  exp,
  gelu,
  log,
  neg,
  relu,
  scale,
  sigmoid,
  silu,
  softplus,
  sqrt,
  square,
  tanh,
} from './ops/unary';
export { vocabularyCrossEntropy } from './ops/vocabulary-cross-entropy';
export { AdamW, type AdamWOptions } from './optim/adamw';
export { clipGradNorm } from './optim/clip';
export {
  constant,
  cosineWarmup,
  linearWarmupDecay,
  type Schedule,
  type WarmupOptions,
} from './optim/schedules';
export { Philox, type PhiloxState } from './rng/philox';
export { full, ones, type TensorOptions, tensor, zeros } from './tensor/create';
export { keep, scope } from './tensor/scope';
export { Tensor } from './tensor/tensor';
