import {
  disposeBatch,
  ForwardContext,
  noGrad,
  scope,
  type Task,
  type Tensor,
  tensor,
} from '@unimoer/core';
import type { EncodedText, FeatureStore, TrainableBackbone } from './types';

/** A store in memory. Once `maxBytes` are in it, further texts are computed anew each time. */
export class MemoryFeatureStore implements FeatureStore {
  private readonly entries = new Map<string, Uint8Array>();
  private used = 0;

  constructor(private readonly maxBytes = 768 * 1024 * 1024) {}

  get bytes(): number {
    return this.used;
  }

  get(key: string): Uint8Array | undefined {
    return this.entries.get(key);
  }

  set(key: string, bytes: Uint8Array): void {
    if (this.entries.has(key) || this.used + bytes.length > this.maxBytes) return;
    this.entries.set(key, bytes);
    this.used += bytes.length;
  }
}

/** Name of a text's hidden states at a layer: backbone, layer and tokens decide them. */
function featureKey(backbone: TrainableBackbone, layer: number, text: EncodedText): string {
  const types = text.types ? text.types.indexOf(1) : -1;
  return `${backbone.fingerprint}/${backbone.dtype}/${layer}/${types}/${text.ids.join(',')}`;
}

/**
 * Hidden states of a batch at the input of `layer`, `[tokens, hiddenSize]`. What the store holds is
 * copied; the rest is computed in one pass and put into the store. Exact: in the packed layout a
 * text's states do not depend on its neighbours, and they are stored in the compute dtype.
 */
export function cachedHidden(
  backbone: TrainableBackbone,
  texts: readonly EncodedText[],
  tasks: readonly Task[],
  layer: number,
  store: FeatureStore,
): Tensor {
  const bytesPerToken = backbone.hiddenSize * (backbone.dtype === 'bf16' ? 2 : 4);
  const keys = texts.map((text) => featureKey(backbone, layer, text));
  const known = new Map<string, Uint8Array>();
  const missing = new Map<string, number>();
  keys.forEach((key, i) => {
    const bytes = store.get(key);
    if (bytes) known.set(key, bytes);
    else if (!missing.has(key)) missing.set(key, i);
  });
  if (missing.size > 0) {
    const positions = [...missing.values()];
    const all = frozenHidden(
      backbone,
      positions.map((i) => texts[i]!),
      positions.map((i) => tasks[i]!),
      layer,
    );
    let offset = 0;
    for (const [key, i] of missing) {
      const end = offset + texts[i]!.ids.length * bytesPerToken;
      const bytes = all.slice(offset, end);
      known.set(key, bytes);
      store.set(key, bytes);
      offset = end;
    }
  }
  const tokens = texts.reduce((total, text) => total + text.ids.length, 0);
  const packed = new Uint8Array(tokens * bytesPerToken);
  let offset = 0;
  for (const key of keys) {
    const bytes = known.get(key)!;
    packed.set(bytes, offset);
    offset += bytes.length;
  }
  return tensorOf(packed, [tokens, backbone.hiddenSize], backbone);
}

function frozenHidden(
  backbone: TrainableBackbone,
  texts: EncodedText[],
  tasks: Task[],
  layer: number,
): Uint8Array {
  return scope(() =>
    noGrad(() => {
      const batch = backbone.pack(texts, tasks);
      const ctx = new ForwardContext(batch);
      const hidden = backbone.runLayers(backbone.embedTokens(batch, ctx), ctx, 0, layer);
      const bytes = new Uint8Array(hidden.size * (hidden.dtype === 'bf16' ? 2 : 4));
      hidden.backend.read(hidden.handle, bytes);
      disposeBatch(batch);
      return bytes;
    }),
  );
}

function tensorOf(bytes: Uint8Array, shape: number[], backbone: TrainableBackbone): Tensor {
  const { backend, dtype } = backbone;
  const elements =
    dtype === 'bf16' ? new Uint16Array(bytes.buffer) : new Float32Array(bytes.buffer);
  return tensor(elements, shape, { backend, dtype });
}
