import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { FrozenWeight, InputError, Linear, noGrad, readSafetensors, tensor } from '@unimoer/core';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { attachAdapter, loadAdapter, loadPeft, moePreset, saveAdapter } from '../src/index';
import { backend, batchOf, maxDifference, randomize, Toy } from './toy';

const published = fileURLToPath(new URL('../../../fixtures/peft-adapter', import.meta.url));
interface Expected {
  weights: number[][];
  input: number[];
  output: number[];
}
const expected = JSON.parse(readFileSync(join(published, 'expected.json'), 'utf8')) as Expected;

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'unimoer-adapter-'));
});
afterEach(() => rmSync(dir, { recursive: true }));

/** The module of the fixture: two linears without bias, tanh after each. */
class PeftToy extends Toy {
  override readonly linears = expected.weights.map(
    (weights, layer) =>
      new Linear(
        `encoder.layer.${layer}.dense`,
        layer,
        FrozenWeight.pack(Float32Array.from(weights), [6, 6], { dtype: 'f32', backend }),
        null,
      ),
  );
}

function output(toy: PeftToy): ArrayLike<number> {
  const x = tensor(expected.input, [4, 6], { backend });
  return noGrad(() => toy.run(batchOf([4]), [], x).toArray());
}

function edit(file: string, change: (json: Record<string, unknown>) => void): string {
  cpSync(published, dir, { recursive: true });
  const path = join(dir, file);
  const json = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
  change(json);
  writeFileSync(path, JSON.stringify(json));
  return dir;
}

describe('PEFT folders', () => {
  it('loads one that PEFT wrote and computes what PEFT computes', () => {
    const toy = new PeftToy(6, 2);
    const adapter = loadPeft(published, toy.linears, toy.options());
    expect(adapter.config).toMatchObject({ rank: 3, alpha: 12, rsLora: true });
    expect(maxDifference(output(toy), expected.output)).toBeLessThan(1e-6);
  });

  it('writes what PEFT wrote', () => {
    const toy = new PeftToy(6, 2);
    const adapter = loadPeft(published, toy.linears, toy.options());
    saveAdapter(adapter, dir);
    adapter.detach();
    const [ours, theirs] = [dir, published].map((folder) =>
      readSafetensors(join(folder, 'adapter_model.safetensors')),
    );
    expect(ours!.names()).toEqual(theirs!.names());
    for (const name of ours!.names()) expect(ours!.read(name)).toEqual(theirs!.read(name));
    const config = JSON.parse(readFileSync(join(dir, 'adapter_config.json'), 'utf8'));
    expect(config).toMatchObject({ peft_type: 'LORA', r: 3, lora_alpha: 12, use_rslora: true });
    loadAdapter(dir, toy.linears, toy.options());
    expect(maxDifference(output(toy), expected.output)).toBeLessThan(1e-6);
  });

  it('matches names with and without prefixes', () => {
    const toy = new PeftToy(6, 2);
    const prefixed = toy.linears.map(
      (linear) => new Linear(`bert.${linear.name}`, linear.layer, linear.weight, null),
    );
    const adapter = loadPeft(published, prefixed, toy.options());
    expect(adapter.linears).toHaveLength(2);
  });

  it.each<[string, Record<string, unknown>, RegExp]>([
    ['DoRA', { use_dora: true }, /use_dora: got true/],
    ['biases', { bias: 'all' }, /bias: got "all"/],
    ['rank patterns', { rank_pattern: { dense: 4 } }, /rank_pattern/],
    ['another method', { peft_type: 'IA3' }, /peft_type: got "IA3"/],
    ['a rank that contradicts the tensors', { r: 4 }, /4 beside tensors of rank 3/],
  ])('refuses %s', (_name, change, message) => {
    const folder = edit('adapter_config.json', (json) => Object.assign(json, change));
    const { linears } = new PeftToy(6, 2);
    const load = () => loadPeft(folder, linears, new Toy().options());
    expect(load).toThrow(InputError);
    expect(load).toThrow(message);
    expect(linears.every((linear) => linear.adapter === null)).toBe(true);
  });

  it('refuses tensors without counterpart or of another shape, and broken JSON', () => {
    const toy = new PeftToy(6, 2);
    const [first] = toy.linears;
    expect(() => loadPeft(published, [first!], toy.options())).toThrow(/belongs to no linear/);
    const narrow = new Toy(5, 2);
    expect(() => loadPeft(published, narrow.linears, narrow.options())).toThrow(
      /got lora_A \[3, 6\] and lora_B \[6, 3\], expected \[r, 5\]/,
    );
    writeFileSync(join(dir, 'adapter_config.json'), '{');
    expect(() => loadPeft(dir, toy.linears, toy.options())).toThrow(/a JSON object/);
  });
});

describe('mixture folders', () => {
  it('come back with the same bits', () => {
    const toy = new Toy(5, 2);
    const batch = batchOf([2, 3], ['embedding', 'reranking']);
    const config = moePreset('unimoer', { target: 'dense', layers: [1], rank: 2 });
    const adapter = attachAdapter(toy.linears, config, toy.options());
    randomize(adapter.parameters());
    const before = noGrad(() => toy.run(batch, adapter.hooks).toArray());
    saveAdapter(adapter, dir);
    adapter.detach();
    const again = loadAdapter(dir, toy.linears, toy.options());
    expect(again.lowestLayer).toBe(1);
    expect(noGrad(() => toy.run(batch, again.hooks).toArray())).toEqual(before);
  });

  it('refuse another format and another model', () => {
    const toy = new Toy(5, 2);
    const config = moePreset('proposal', { target: 'all', rank: 2 });
    const adapter = attachAdapter(toy.linears, config, toy.options());
    saveAdapter(adapter, dir);
    const wide = new Toy(7, 2);
    expect(() => loadAdapter(dir, wide.linears, wide.options())).toThrow(/\[2, 5\], expected/);
    expect(wide.linears.every((linear) => linear.adapter === null)).toBe(true);
    const path = join(dir, 'unimoer_adapter.json');
    writeFileSync(path, readFileSync(path, 'utf8').replace('"format": 1', '"format": 9'));
    adapter.detach();
    expect(() => loadAdapter(dir, toy.linears, toy.options())).toThrow(/format 9, expected/);
  });
});
