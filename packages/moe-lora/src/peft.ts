import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import {
  atomicWrite,
  InputError,
  type Linear,
  readSafetensors,
  type SafetensorsFile,
  writeSafetensors,
} from '@unimoer/core';
import { type AttachedAdapter, type AttachOptions, attachAdapter } from './attach';
import type { LoraConfig } from './config';
import { parseJson } from './json';
import { parameterEntries } from './parameters';

const CONFIG = 'adapter_config.json';
const WEIGHTS = 'adapter_model.safetensors';
/** Options of PEFT that change what the tensors mean. */
const VARIANTS = [
  'use_dora',
  'use_qalora',
  'use_bdlora',
  'kasa_config',
  'lora_bias',
  'fan_in_fan_out',
  'target_parameters',
  'trainable_token_indices',
];
/** Prefixes that tensors carry or lack, depending on who wrote them. */
const PREFIXES = ['base_model.model.', 'model.', 'bert.'];

/**
 * Writes a plain LoRA as PEFT reads it: `adapter_config.json` and `adapter_model.safetensors` with
 * `base_model.model.<linear>.lora_A.weight` `[rank, in]` and `lora_B.weight` `[out, rank]`, in f32.
 */
export function savePeft(adapter: AttachedAdapter, dir: string): void {
  const { config } = adapter;
  if (config.kind !== 'lora') {
    throw new InputError({
      where: 'savePeft',
      got: 'a mixture of experts',
      expected: 'a plain LoRA',
      remedy: 'write mixtures with saveAdapter',
    });
  }
  mkdirSync(dir, { recursive: true });
  const named = adapter.parameters().map(({ name, tensor }) => ({
    name: `base_model.model.${name}.weight`,
    tensor,
  }));
  writeSafetensors(join(dir, WEIGHTS), parameterEntries(named), { format: 'pt' });
  const settings = {
    base_model_name_or_path: null,
    bias: 'none',
    fan_in_fan_out: false,
    inference_mode: true,
    lora_alpha: config.alpha ?? 2 * config.rank,
    lora_dropout: 0,
    modules_to_save: null,
    peft_type: 'LORA',
    r: config.rank,
    target_modules: adapter.linears.map((linear) => linear.name),
    task_type: 'FEATURE_EXTRACTION',
    use_rslora: config.rsLora ?? false,
  };
  atomicWrite(join(dir, CONFIG), `${JSON.stringify(settings, null, 2)}\n`);
}

/**
 * Attaches the plain LoRA of a PEFT folder. Tensor names are matched with and without
 * `base_model.model.`, `model.` and `bert.`. Throws InputError for options that change the mathematics
 * (DoRA, biases, rank patterns) and for tensors without counterpart or of another shape.
 */
export function loadPeft(
  dir: string,
  linears: readonly Linear[],
  options: AttachOptions,
): AttachedAdapter {
  const path = join(dir, CONFIG);
  const settings = readSettings(path);
  const file = readSafetensors(join(dir, WEIGHTS));
  try {
    const pairs = collectPairs(file, linears, join(dir, WEIGHTS));
    const ranks = new Set([...pairs.values()].map((pair) => pair.rank));
    const rank = settings.r;
    if (ranks.size !== 1 || !ranks.has(rank)) {
      throw new InputError({
        where: `${path} r`,
        got: `${rank} beside tensors of rank ${[...ranks].join(', ')}`,
        expected: 'one rank for all linears',
        remedy: 'rank patterns are not supported; export with one rank',
      });
    }
    const config: LoraConfig = {
      kind: 'lora',
      target: [...pairs.keys()],
      rank,
      alpha: settings.alpha,
      rsLora: settings.rsLora,
    };
    const adapter = attachAdapter(linears, config, options);
    for (const { name, tensor } of adapter.parameters()) {
      const pair = pairs.get(name.slice(0, name.lastIndexOf('.')))!;
      tensor.set(file.read(name.endsWith('lora_A') ? pair.A : pair.B));
    }
    return adapter;
  } finally {
    file.close();
  }
}

interface Settings {
  r: number;
  alpha: number;
  rsLora: boolean;
}

function readSettings(path: string): Settings {
  const raw = parseJson(path);
  const refuse = (field: string, got: unknown, expected: string): never => {
    throw new InputError({
      where: `${path} ${field}`,
      got: JSON.stringify(got) ?? 'nothing',
      expected,
      remedy: 'only plain LoRA folders can be loaded',
    });
  };
  if (raw.peft_type !== 'LORA') refuse('peft_type', raw.peft_type, '"LORA"');
  if (typeof raw.r !== 'number') refuse('r', raw.r, 'a number');
  if (typeof raw.lora_alpha !== 'number') refuse('lora_alpha', raw.lora_alpha, 'a number');
  for (const field of VARIANTS) if (raw[field]) refuse(field, raw[field], 'false or null');
  if ((raw.bias ?? 'none') !== 'none') refuse('bias', raw.bias, '"none"');
  for (const field of ['rank_pattern', 'alpha_pattern']) {
    if (Object.keys((raw[field] ?? {}) as object).length > 0) refuse(field, raw[field], '{}');
  }
  return {
    r: raw.r as number,
    alpha: raw.lora_alpha as number,
    rsLora: raw.use_rslora === true,
  };
}

interface NamedPair {
  A: string;
  B: string;
  rank: number;
}

function collectPairs(
  file: SafetensorsFile,
  linears: readonly Linear[],
  path: string,
): Map<string, NamedPair> {
  const byName = new Map(linears.map((linear) => [bareName(linear.name), linear]));
  const found = new Map<string, Partial<Record<'A' | 'B', string>>>();
  for (const name of file.names()) {
    const match = /^(.*)\.lora_([AB])(?:\.default)?\.weight$/.exec(name);
    const linear = match ? byName.get(bareName(match[1]!)) : undefined;
    if (!match || !linear) {
      throw new InputError({
        where: path,
        got: `tensor ${name}, which belongs to no linear of the model`,
        expected: `names such as base_model.model.${linears[0]?.name ?? 'linear'}.lora_A.weight`,
        remedy: 'use the base model that the adapter was trained on',
      });
    }
    const entry = found.get(linear.name) ?? {};
    entry[match[2] as 'A' | 'B'] = name;
    found.set(linear.name, entry);
  }
  const out = new Map<string, NamedPair>();
  for (const linear of linears) {
    const entry = found.get(linear.name);
    if (entry) out.set(linear.name, checkedPair(file, linear, entry, path));
  }
  return out;
}

function checkedPair(
  file: SafetensorsFile,
  linear: Linear,
  { A, B }: Partial<Record<'A' | 'B', string>>,
  path: string,
): NamedPair {
  const shapeA = A === undefined ? [] : file.info(A).shape;
  const shapeB = B === undefined ? [] : file.info(B).shape;
  const { inFeatures, outFeatures } = linear.weight;
  const rank = shapeA[0];
  if (
    A === undefined ||
    B === undefined ||
    shapeA.length !== 2 ||
    shapeB.length !== 2 ||
    shapeA[1] !== inFeatures ||
    shapeB[0] !== outFeatures ||
    shapeB[1] !== rank
  ) {
    throw new InputError({
      where: `${path} ${linear.name}`,
      got: `lora_A [${shapeA.join(', ')}] and lora_B [${shapeB.join(', ')}]`,
      expected: `[r, ${inFeatures}] and [${outFeatures}, r]`,
      remedy: 'use the base model that the adapter was trained on',
    });
  }
  return { A, B, rank: rank! };
}

function bareName(name: string): string {
  let bare = name;
  for (const prefix of PREFIXES) if (bare.startsWith(prefix)) bare = bare.slice(prefix.length);
  return bare;
}
