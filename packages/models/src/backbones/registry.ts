import { InputError } from '@unimoer/core';
import {
  type BackboneConfig,
  DECODER_TYPES,
  parseBertConfig,
  parseDecoderConfig,
} from '../config/backbone';
import type { Fields } from '../json-file';
import type { WeightReader } from '../weights';
import type { Backbone } from './backbone';
import { BertBackbone } from './bert';
import { DecoderBackbone } from './decoder';

/** What a factory makes of `config.json`, before any weight is read. */
export interface BackbonePlan {
  readonly config: BackboneConfig;
  /** What checkpoints may put before the names that `build` asks for, such as `model.`. */
  readonly prefixes: readonly string[];
  /** Reads the weights; they are freed with the model. `languageHead` asks for a stored lm_head too. */
  build(weights: WeightReader, options: { languageHead?: boolean }): Backbone;
}

/** Reads the `config.json` of one `model_type`. Throws InputError (`config.fail`) naming file and field. */
export type BackboneFactory = (config: Fields) => BackbonePlan;

const bert: BackboneFactory = (fields) => {
  const config = parseBertConfig(fields);
  return {
    config,
    prefixes: ['bert.', '0.auto_model.'],
    build: (weights) => new BertBackbone(config, weights),
  };
};

const decoder =
  (type: string): BackboneFactory =>
  (fields) => {
    const config = parseDecoderConfig(fields, type);
    return {
      config,
      prefixes: ['model.'],
      build: (weights, { languageHead }) => new DecoderBackbone(config, weights, languageHead),
    };
  };

const registry = new Map<string, BackboneFactory>([
  ['bert', bert],
  ...DECODER_TYPES.map((type): [string, BackboneFactory] => [type, decoder(type)]),
]);

/** Adds the backbone of a `model_type` of `config.json`; throws InputError when the name is taken. */
export function registerBackbone(modelType: string, factory: BackboneFactory): void {
  if (registry.has(modelType)) {
    throw new InputError({
      where: 'registerBackbone',
      got: `the name ${modelType}, which is taken`,
      expected: 'a new name',
      remedy: `names in use are ${backboneNames().join(', ')}`,
    });
  }
  registry.set(modelType, factory);
}

/** Registered names, sorted. */
export function backboneNames(): string[] {
  return [...registry.keys()].sort();
}

/** Throws InputError naming file and field for an unknown `model_type` and whatever does not fit. */
export function planBackbone(config: Fields): BackbonePlan {
  const factory = registry.get(config.string('model_type', ''));
  if (factory) return factory(config);
  throw config.fail(
    'model_type',
    `one of ${backboneNames().join(', ')}`,
    'choose a model of these families, or add its family with registerBackbone',
  );
}
