export {
  type CrossedTest,
  crossedTest,
  type Estimate,
  type Interval,
  interval,
  mean,
  meanEstimate,
  queryTest,
  type SeedQueryMatrix,
  seedTest,
  type TTest,
  tTest,
  type VarianceComponents,
} from './crossed.js';
export {
  noncentralTCdf,
  normalSf,
  studentTQuantile,
  studentTSf,
  studentTTwoSided,
} from './distributions.js';
export { type EquivalenceTest, type NonInferiority, nonInferiority, tost } from './equivalence.js';
export { AnalysisError } from './errors.js';
export { benjaminiHochberg, holm } from './multiplicity.js';
export {
  crossedPower,
  type DesignOptions,
  type DesignSuggestion,
  designError,
  designsForPower,
  minimumDetectable,
  minimumDetectableOf,
  pairedTPower,
  type PowerOptions,
  seedsForPower,
} from './power.js';
export {
  type PairedRelativeDrop,
  type RelativeDrop,
  relativeContributions,
  relativeDrop,
  type UnpairedRelativeDrop,
  unpairedRelativeDrop,
} from './relative.js';
export {
  entropy,
  equalTaskWeight,
  jensenShannon,
  type LayerRouting,
  type LoadBalance,
  loadBalance,
  type MassTable,
  meanActiveExperts,
  summariseLayer,
  type TaskExpertInformation,
  taskExpertInformation,
  totalVariation,
} from './routing.js';
export {
  CLAIM_SEEDS,
  decideVerdict,
  type Verdict,
  type VerdictOptions,
  type VerdictResult,
} from './verdict.js';
