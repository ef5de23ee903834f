import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { atomicWrite, InputError, type Linear, writeSafetensors } from '@unimoer/core';
import { type AttachedAdapter, type AttachOptions, attachAdapter } from './attach';
import type { AdapterConfig, MoeLoraConfig } from './config';
import { parseJson } from './json';
import { parameterEntries, readParameters } from './parameters';
import { loadPeft, savePeft } from './peft';

const CONFIG = 'unimoer_adapter.json';
const WEIGHTS = 'unimoer_adapter.safetensors';
const FORMAT = 1;

/**
 * Writes an adapter into a folder: PEFT's layout for plain LoRA, for a mixture
 * `unimoer_adapter.json` (configuration) beside `unimoer_adapter.safetensors` (every parameter by name, f32).
 */
export function saveAdapter(adapter: AttachedAdapter, dir: string): void {
  if (adapter.config.kind === 'lora') {
    savePeft(adapter, dir);
    return;
  }
  mkdirSync(dir, { recursive: true });
  writeSafetensors(join(dir, WEIGHTS), parameterEntries(adapter.parameters()));
  const document = {
    format: FORMAT,
    config: adapter.config,
    linears: adapter.linears.map((linear) => linear.name),
  };
  atomicWrite(join(dir, CONFIG), `${JSON.stringify(document, null, 2)}\n`);
}

/** Attaches the adapter of a folder that `saveAdapter` or PEFT wrote. */
export function loadAdapter(
  dir: string,
  linears: readonly Linear[],
  options: AttachOptions,
): AttachedAdapter {
  const path = join(dir, CONFIG);
  if (!existsSync(path)) return loadPeft(dir, linears, options);
  const document = parseJson(path);
  const config = document.config as MoeLoraConfig | undefined;
  if (document.format !== FORMAT || config?.kind !== 'moe' || !Array.isArray(document.linears)) {
    throw new InputError({
      where: path,
      got: `format ${JSON.stringify(document.format)}`,
      expected: `format ${FORMAT} with config and linears`,
      remedy: 'write the folder again with this version',
    });
  }
  const exact: AdapterConfig = { ...config, target: document.linears as string[] };
  const adapter = attachAdapter(linears, exact, options);
  try {
    readParameters(join(dir, WEIGHTS), adapter.parameters());
  } catch (error) {
    adapter.detach();
    throw error;
  }
  return adapter;
}
