import { join } from 'node:path';
import { type Backend, getBackend, InputError, type Tensor } from '@unimoer/core';
import type { Backbone } from './backbones/backbone';
import { LM_HEAD } from './backbones/decoder';
import { planBackbone } from './backbones/registry';
import { type BackboneConfig, checkVocabulary, type DecoderConfig } from './config/backbone';
import {
  type PoolingMode,
  readSentenceTransformers,
  type SentenceTransformersConfig,
} from './config/sentence-transformers';
import { ClassifierHead, type RerankHead, YesNoHead } from './heads/head';
import { RerankerPrompt, rerankerTemplate } from './heads/reranker-template';
import { Fields } from './json-file';
import { locateModel } from './locate';
import { Model, type PairEncoder } from './model';
import { TextTokenizer } from './tokenizer';
import {
  type ComputeDType,
  openWeights,
  type QuantizedWeights,
  WeightReader,
  weightFiles,
} from './weights';

export interface LoadOptions {
  /** Folder that relative paths and npm packages are looked up from. */
  from?: string;
  /** Storage of frozen weights and activations; sums, norms, pooling and heads stay f32. Default f32. */
  dtype?: ComputeDType;
  /**
   * Stores the weights of the linears in 8 or 4 bits (FrozenWeight.pack); embeddings, norms and heads stay as
   * they are. Training over them goes through the dequantised weights. Default: in dtype.
   */
  weights?: QuantizedWeights;
  backend?: Backend;
  /** Overrides what the folder says. */
  pooling?: PoolingMode;
  /** Overrides what the folder says; clamped to the positions with a warning. */
  maxLength?: number;
  /** Packs transposed weights as well, which training needs. Default false. */
  forBackward?: boolean;
  /** Also loads a stored lm_head, which `vocabularyLogits` needs. Default false. */
  languageHead?: boolean;
  /** Instruction of the Qwen3-Reranker prompt. */
  instruction?: string;
}

/**
 * Loads a MODEL: a folder, `npm:PACKAGE` or `hf:ORG/NAME`. `modules.json` decides first, then the
 * architecture in `config.json`, whose `model_type` names a registered backbone. Throws InputError naming file, field or tensor for whatever does not fit.
 */
export function loadModel(model: string, options: LoadOptions = {}): Model {
  const root = locateModel(model, { from: options.from });
  const modules = readSentenceTransformers(root);
  const folder = modules?.transformerFolder ?? root;
  const remedy = 'name the folder that holds config.json, tokenizer.json and the weights';
  const plan = planBackbone(Fields.read(join(folder, 'config.json'), remedy));
  const { config } = plan;
  const tokenizer = TextTokenizer.load(folder);
  checkVocabulary(config, tokenizer.largestId(), tokenizer.file);
  const pooling = choosePooling(config, modules, options.pooling);
  const warnings = [...tokenizer.warnings, ...poolingWarnings(config, tokenizer, pooling, modules)];
  const length = chooseLength(config, tokenizer, modules, options.maxLength ?? null);
  if (length.warning) warnings.push(length.warning);

  const checkpoint = openWeights(folder);
  const weights = new WeightReader(
    folder,
    checkpoint,
    plan.prefixes,
    options.dtype ?? 'f32',
    options.backend ?? getBackend(),
    options.forBackward ?? false,
    options.weights,
  );
  try {
    const backbone = plan.build(weights, { languageHead: options.languageHead });
    const readout = chooseHead(backbone, modules, tokenizer, weights, options.instruction);
    const unused = weights.unused();
    if (unused.length > 0) warnings.push(`${folder}: unused tensors: ${unused.join(', ')}`);
    return new Model({
      name: model,
      folder,
      weightFiles: weightFiles(folder),
      quantized: weights.quantized,
      backbone,
      tokenizer,
      pooling,
      lowerCase: modules?.lowerCase ?? false,
      prompts: modules?.prompts ?? new Map(),
      defaultPrompt: modules?.defaultPrompt ?? null,
      maxLength: length.value,
      maxLengthGiven: options.maxLength !== undefined,
      ...readout,
      warnings,
      release: () => weights.dispose(),
    });
  } catch (error) {
    weights.dispose();
    throw error;
  } finally {
    weights.close();
  }
}

function choosePooling(
  config: BackboneConfig,
  modules: SentenceTransformersConfig | null,
  override: PoolingMode | undefined,
): { mode: PoolingMode; includePrompt: boolean } {
  const causal = config.family === 'custom' ? config.causal : config.family === 'decoder';
  const mode = override ?? modules?.pooling?.mode ?? (causal ? 'last' : 'mean');
  if (mode === 'cls' && causal) {
    throw new InputError({
      where: 'pooling',
      got: 'cls (first token) on a causal decoder',
      expected: 'last or mean',
      remedy: 'the first token of a causal decoder sees only itself; use --pooling last',
    });
  }
  return { mode, includePrompt: modules?.pooling?.includePrompt ?? true };
}

function poolingWarnings(
  config: BackboneConfig,
  tokenizer: TextTokenizer,
  pooling: { mode: PoolingMode },
  modules: SentenceTransformersConfig | null,
): string[] {
  const isEmbedder = modules?.pooling != null;
  const warnings: string[] = [];
  if (isEmbedder && !modules.normalize) {
    warnings.push('modules.json has no Normalize module; vectors are normalised all the same');
  }
  const embeds = isEmbedder || (modules === null && config.architecture?.endsWith('Model'));
  if (embeds && pooling.mode === 'last' && !tokenizer.endsWithAddedToken) {
    warnings.push(
      `${tokenizer.file}: last-token pooling, but the post-processor adds no end token`,
    );
  }
  if (config.family === 'decoder' && config.windowed) {
    warnings.push(`sequences are limited to the sliding window of ${config.maxPositions} tokens`);
  }
  return warnings;
}

/** Rule: the option, else the folder's max_seq_length, else the smaller of model_max_length and positions. */
function chooseLength(
  config: BackboneConfig,
  tokenizer: TextTokenizer,
  modules: SentenceTransformersConfig | null,
  requested: number | null,
): { value: number; warning: string | null } {
  const limit = config.maxPositions;
  if (requested !== null && (!Number.isInteger(requested) || requested < 1)) {
    throw new InputError({
      where: 'maximum length',
      got: String(requested),
      expected: 'a whole number of at least 1',
      remedy: 'correct --max-length',
    });
  }
  const wanted =
    requested ?? modules?.maxSeqLength ?? Math.min(tokenizer.modelMaxLength ?? limit, limit);
  if (wanted <= limit) return { value: wanted, warning: null };
  return {
    value: limit,
    warning: `maximum length ${wanted} is beyond the model's ${limit} positions; ${limit} is used`,
  };
}

interface Readout {
  head: RerankHead | null;
  /** Why `score` is refused, when head is null. */
  noHead: string;
  /** Why `embed` is refused, or null. */
  noEmbedding: string | null;
  pairs: PairEncoder;
  /** Length of pairs when the user gave none. */
  pairLength: number | null;
}

function chooseHead(
  backbone: Backbone,
  modules: SentenceTransformersConfig | null,
  tokenizer: TextTokenizer,
  weights: WeightReader,
  instruction: string | undefined,
): Readout {
  const { config } = backbone;
  const architecture = config.architecture ?? '';
  const plain: PairEncoder = (q, d, max) => tokenizer.encodePair(q, d, max);
  const none: Readout = {
    head: null,
    noHead: `${architecture || 'this folder'} is an encoder without a reranking head`,
    noEmbedding: null,
    pairs: plain,
    pairLength: null,
  };
  const template = config.family === 'decoder' && config.modelType === 'qwen3';
  const prompted: Partial<Readout> = template ? qwen3Pairs(tokenizer, instruction) : {};
  if (modules?.pooling) {
    return { ...none, noHead: 'the folder has a Pooling module, so it is an encoder' };
  }
  if (config.family === 'custom') return none;
  if (architecture.endsWith('ForSequenceClassification')) {
    const output = config.family === 'bert' ? 'classifier' : 'score';
    const labels = weights.shapeOf(`${output}.weight`)[0] ?? 0;
    if (labels !== 1) {
      weights.ignore(`${output}.weight`);
      weights.ignore(`${output}.bias`);
      return { ...none, noHead: `the classifier has ${labels} labels, a reranker has one` };
    }
    const pooler = config.family === 'bert' ? 'pooler.dense' : null;
    const pooling = config.family === 'bert' ? 'cls' : 'last';
    const head = new ClassifierHead(weights, config.hiddenSize, pooling, { output, pooler });
    return { ...none, head, noEmbedding: `${architecture} is a cross encoder`, ...prompted };
  }
  if (config.family !== 'decoder') return none;
  if (!template || !architecture.endsWith('ForCausalLM')) return none;
  const yes = modules?.logitScore?.yes ?? singleToken(tokenizer, 'yes');
  const no = modules?.logitScore?.no ?? singleToken(tokenizer, 'no');
  if (yes === null || no === null) {
    return { ...none, noHead: 'the tokenizer has no single tokens "yes" and "no"' };
  }
  return { ...none, ...prompted, head: new YesNoHead(answerRows(config, weights, no, yes)) };
}

function qwen3Pairs(tokenizer: TextTokenizer, instruction: string | undefined): Partial<Readout> {
  const prompt = new RerankerPrompt(tokenizer, instruction);
  return { pairs: (q, d, max) => prompt.encode(q, d, max), pairLength: rerankerTemplate.maxLength };
}

function singleToken(tokenizer: TextTokenizer, word: string): number | null {
  const ids = tokenizer.encodePlain(word);
  return ids.length === 1 ? ids[0]! : null;
}

/** The two rows of the output embedding that a yes/no answer needs. */
function answerRows(config: DecoderConfig, weights: WeightReader, no: number, yes: number): Tensor {
  const { vocabSize, hiddenSize: d } = config;
  const tied = config.tiedEmbeddings && !weights.has(LM_HEAD);
  const name = tied ? 'embed_tokens.weight' : LM_HEAD;
  const table = weights.values(name, [vocabSize, d]);
  const rows = new Float32Array(2 * d);
  rows.set(table.subarray(no * d, (no + 1) * d), 0);
  rows.set(table.subarray(yes * d, (yes + 1) * d), d);
  return weights.constant(rows, [2, d]);
}
