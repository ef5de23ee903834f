export { falseNegativeMask, type InfoNceOptions, infoNce } from './contrastive';
export {
  answerCrossEntropy,
  binaryCrossEntropy,
  groupCrossEntropy,
  listwiseCrossEntropy,
  yesNoCrossEntropy,
} from './ranking';
export {
  loadBalance,
  localizedBalance,
  routedFractions,
  routerZLoss,
  taskImportance,
} from './routing';
