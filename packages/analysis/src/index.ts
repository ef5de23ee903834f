export { benjaminiHochberg, holm } from '@unimoer/eval-beir';
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
export { type EquivalenceTest, type NonInferiority, nonInferiority, tost } from './equivalence.js';
export { AnalysisError } from './errors.js';
export { noncentralTCdf } from './noncentral-t.js';
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
export { type ArmPoint, type ArmReference, type ArmsSpec, armsFigure } from './figures/arms.js';
export { type EffectRow, type EffectSpec, effectFigure } from './figures/effect.js';
export { csv, type Figure } from './figures/figure.js';
export { drawFigure, type FigureSpec } from './figures/index.js';
export { type LossesSpec, type LossSeries, lossesFigure } from './figures/losses.js';
export {
  type RoutingMapLayer,
  type RoutingMapSpec,
  routingMapFigure,
} from './figures/routing-map.js';
export { fixed } from './figures/scale.js';
