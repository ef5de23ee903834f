export { assertAllClose, relativeError } from './allclose';
export { type InputSpec, makeInputs, type OpCase } from './case';
export { compatMarkdown } from './compat';
export { type GradcheckResult, gradcheck } from './gradcheck';
export { opCases } from './op-cases';
export { differences, type Outcome, outcome } from './outcome';
export { type Tolerance, toleranceOf } from './tolerances';
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
