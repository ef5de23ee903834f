import type { Fields } from '../json-file';

/**
 * Inverse frequencies f32 `[headDim / 2]` of rotary position embedding: θ^(−2i/d), changed by `linear`
 * (position interpolation) or `llama3` scaling. Reads both dialects: `rope_theta` + `rope_scaling` and
 * `rope_parameters`. Throws InputError for any other scaling.
 */
export function inverseFrequencies(config: Fields, headDim: number): Float32Array {
  const parameters = config.object('rope_parameters') ?? config.object('rope_scaling');
  const theta = parameters?.has('rope_theta')
    ? parameters.positive('rope_theta')
    : config.positive('rope_theta', 10000);
  const frequencies = Float64Array.from(
    { length: headDim / 2 },
    (_, i) => theta ** ((-2 * i) / headDim),
  );
  refusePartial(config);
  if (parameters) {
    refusePartial(parameters);
    scaleFrequencies(frequencies, parameters);
  }
  return Float32Array.from(frequencies);
}

function refusePartial(fields: Fields): void {
  if (fields.positive('partial_rotary_factor', 1) !== 1) {
    throw fields.fail('partial_rotary_factor', '1', 'partial rotation is not supported');
  }
}

function scaleFrequencies(frequencies: Float64Array, parameters: Fields): void {
  const key = parameters.has('rope_type') ? 'rope_type' : 'type';
  const kind = parameters.string(key, 'default');
  if (kind === 'default') return;
  if (kind === 'linear') {
    const factor = parameters.positive('factor');
    for (let i = 0; i < frequencies.length; i++) frequencies[i]! /= factor;
    return;
  }
  if (kind !== 'llama3') {
    throw parameters.fail(
      key,
      'default, linear or llama3',
      'use a checkpoint without this scaling',
    );
  }
  const factor = parameters.positive('factor');
  const low = parameters.positive('low_freq_factor');
  const high = parameters.positive('high_freq_factor');
  const original = parameters.positive('original_max_position_embeddings');
  for (let i = 0; i < frequencies.length; i++) {
    const frequency = frequencies[i]!;
    const turns = (original * frequency) / (2 * Math.PI);
    if (turns >= high) continue;
    const smooth = turns <= low ? 0 : (turns - low) / (high - low);
    frequencies[i] = ((1 - smooth) * frequency) / factor + smooth * frequency;
  }
}
