export {
  type BeirSplit,
  beirFile,
  type Corpus,
  judgedQueries,
  loadBeir,
  loadCorpus,
  loadQrels,
  loadQueries,
  type Queries,
} from './beir/folder.js';
export { type Analyzer, analyzeEnglish, LUCENE_STOP_WORDS } from './bm25/analyze.js';
export { Bm25, Bm25Builder, type Bm25Options } from './bm25/bm25.js';
export { luceneLength } from './bm25/length.js';
export { tokenize } from './bm25/tokenize.js';
export { type RetrieveOptions, retrieve } from './dense/retrieve.js';
export { DenseSearch, searchDense, type VectorTable } from './dense/search.js';
export { TopK } from './trec/top-k.js';
export type { Encoder, PairScorer, TextPair, TextRole } from './encoder.js';
export { InputError, type InputErrorDetail } from './errors.js';
export { documentText, type JsonlOptions, readTexts, type TextRecord } from './io/jsonl.js';
export { type Line, MAX_LINE_BYTES, readLines } from './io/lines.js';
export { type ByteSource, type NamedStream, readBytes } from './io/source.js';
export { type EvaluateOptions, type Evaluation, evaluate } from './metrics/evaluate.js';
export {
  DEFAULT_METRICS,
  METRIC_NAMES,
  type MetricFamily,
  type MetricSpec,
  parseMetrics,
} from './metrics/names.js';
export { dropIdenticalIds, type RerankOptions, rerank } from './rerank.js';
export { type Comparison, compareRuns, type NamedEvaluation } from './stats/compare.js';
export { normal, studentT } from './stats/distributions.js';
export { benjaminiHochberg, holm } from './stats/multiple.js';
export { type PairedT, pairedT, randomizationTest } from './stats/paired.js';
export { erfc, incompleteBeta, logGamma } from './stats/special.js';
export { wilcoxon } from './stats/wilcoxon.js';
export {
  compareUtf8,
  type Run,
  type ScoredDocument,
  type ScorePrecision,
  tieRanks,
  trecOrder,
} from './trec/order.js';
export { formatQrels, type Qrels, readQrels } from './trec/qrels.js';
export { formatRun, formatScore, readRun } from './trec/run.js';
