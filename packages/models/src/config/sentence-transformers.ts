import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { InputError } from '@unimoer/core';
import { Fields, readJson } from '../json-file';

export type PoolingMode = 'mean' | 'last' | 'cls';

/** What a sentence-transformers folder says beside the backbone. */
export interface SentenceTransformersConfig {
  /** Folder of config.json, tokenizer and weights. */
  transformerFolder: string;
  pooling: { mode: PoolingMode; includePrompt: boolean } | null;
  normalize: boolean;
  /** Token ids of a yes/no read-out (LogitScore module of a cross encoder). */
  logitScore: { yes: number; no: number | null } | null;
  prompts: Map<string, string>;
  defaultPrompt: string | null;
  maxSeqLength: number | null;
  lowerCase: boolean;
}

const REDOWNLOAD = 'download the folder again';

/** Reads `modules.json` and what it names; null where the folder has none. */
export function readSentenceTransformers(folder: string): SentenceTransformersConfig | null {
  const file = join(folder, 'modules.json');
  if (!existsSync(file)) return null;
  const modules = readModules(file);
  const transformer = modules.find((module) => module.type === 'Transformer');
  if (!transformer) {
    throw new InputError({
      where: file,
      got: modules.map((module) => module.type).join(', ') || 'no modules',
      expected: 'a Transformer module',
      remedy: 'use a folder of a text encoder',
    });
  }
  const at = (module: Module) => join(folder, module.path);
  const transformerFolder = at(transformer);
  const pooling = modules.find((module) => module.type === 'Pooling');
  const logitScore = modules.find((module) => module.type === 'LogitScore');
  const top = Fields.readOptional(join(folder, 'config_sentence_transformers.json'));
  const bert = Fields.readOptional(join(transformerFolder, 'sentence_bert_config.json'));
  const defaultPrompt = top?.has('default_prompt_name') ? top.string('default_prompt_name') : null;
  const prompts = top?.stringMap('prompts') ?? new Map<string, string>();
  if (top && defaultPrompt !== null && !prompts.has(defaultPrompt)) {
    throw top.fail(
      'default_prompt_name',
      `one of ${[...prompts.keys()].join(', ') || 'no prompts'}`,
    );
  }
  return {
    transformerFolder,
    pooling: pooling ? readPooling(join(at(pooling), 'config.json')) : null,
    normalize: modules.some((module) => module.type === 'Normalize'),
    logitScore: logitScore ? readLogitScore(join(at(logitScore), 'config.json')) : null,
    prompts,
    defaultPrompt,
    maxSeqLength: bert?.has('max_seq_length') ? bert.integer('max_seq_length') : null,
    lowerCase: bert?.boolean('do_lower_case', false) ?? false,
  };
}

interface Module {
  /** Last component of the class path; the packages before it move between releases. */
  type: string;
  path: string;
}

const KNOWN = ['Transformer', 'Pooling', 'Normalize', 'LogitScore'];

function readModules(file: string): Module[] {
  const list = readJson(file, REDOWNLOAD);
  if (!Array.isArray(list)) {
    throw new InputError({ where: file, got: typeof list, expected: 'a list', remedy: REDOWNLOAD });
  }
  return list.map((entry: unknown, i) => {
    const fields = new Fields(file, (entry ?? {}) as Record<string, unknown>, `[${i}].`);
    const type = fields.string('type').split('.').at(-1)!;
    if (!KNOWN.includes(type)) {
      throw fields.fail('type', KNOWN.join(', '), 'this module is not supported');
    }
    const path = fields.string('path', '');
    if (path.split(/[/\\]/).includes('..')) throw fields.fail('path', 'a folder inside the model');
    return { type, path };
  });
}

const POOLING_KEYS: Readonly<Record<string, PoolingMode>> = {
  pooling_mode_mean_tokens: 'mean',
  pooling_mode_lasttoken: 'last',
  pooling_mode_cls_token: 'cls',
};
const POOLING_NAMES: Readonly<Record<string, PoolingMode>> = {
  mean: 'mean',
  lasttoken: 'last',
  cls: 'cls',
};
const UNSUPPORTED = ['max_tokens', 'mean_sqrt_len_tokens', 'weightedmean_tokens'].map(
  (name) => `pooling_mode_${name}`,
);

function readPooling(file: string): { mode: PoolingMode; includePrompt: boolean } {
  const config = Fields.read(file, REDOWNLOAD);
  const includePrompt = config.boolean('include_prompt', true);
  if (config.has('pooling_mode')) {
    const mode = POOLING_NAMES[config.string('pooling_mode')];
    if (!mode) throw config.fail('pooling_mode', Object.keys(POOLING_NAMES).join(', '));
    return { mode, includePrompt };
  }
  const refused = UNSUPPORTED.find((key) => config.boolean(key, false));
  if (refused) throw config.fail(refused, 'false', 'mean, cls and lasttoken pooling are supported');
  const on = Object.keys(POOLING_KEYS).filter((key) => config.boolean(key, false));
  if (on.length !== 1) {
    throw new InputError({
      where: file,
      got: on.join(', ') || 'no pooling mode',
      expected: `exactly one of ${Object.keys(POOLING_KEYS).join(', ')}`,
      remedy: 'concatenated poolings are not supported',
    });
  }
  return { mode: POOLING_KEYS[on[0]!]!, includePrompt };
}

function readLogitScore(file: string): { yes: number; no: number | null } {
  const config = Fields.read(file, REDOWNLOAD);
  return {
    yes: config.integer('true_token_id', undefined, 0),
    no: config.has('false_token_id') ? config.integer('false_token_id', undefined, 0) : null,
  };
}
