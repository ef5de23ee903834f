export { assertAllClose, relativeError } from './allclose';
export { compatMarkdown } from './compat';
export { type GradcheckResult, gradcheck } from './gradcheck';
export { opCases } from './op-cases';
export {
  adaptedLinearTwin,
  attentionTwin,
  crossEntropyTwin,
  layerNormTwin,
  rmsNormResidualTwin,
  rmsNormTwin,
  ropeTwin,
  sparsegenTwin,
  swigluTwin,
} from './twins';
