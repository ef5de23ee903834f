import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { InputError, writeSafetensors } from '@unimoer/core';
import { loadAdapter, parameterEntries, readParameters, saveAdapter } from '@unimoer/moe-lora';
import { type Model, pool } from '@unimoer/models';
import { RerankHead } from './head';
import type { ArmModel } from './model';

const HEAD = 'rerank_head.safetensors';
const ADAPTERS = ['adapter_config.json', 'unimoer_adapter.json'];

/** Writes adapter and head of an arm: PEFT's or our layout, and `rerank_head.safetensors`. */
export function saveTrained({ adapter, head }: ArmModel, dir: string): void {
  mkdirSync(dir, { recursive: true });
  if (adapter) saveAdapter(adapter, dir);
  if (head) writeSafetensors(join(dir, HEAD), parameterEntries(head.parameters()));
}

/** What `attachTrained` put on a model. */
export interface AttachedFolder {
  adapter: boolean;
  head: boolean;
  /** Makes the model what it was before and frees what was loaded. */
  detach(): void;
}

/**
 * Puts the adapter of a folder (PEFT, or written by training) on a model, and its reranking head where the
 * folder has one. Throws InputError when the folder holds neither or does not fit the model.
 */
export function attachTrained(model: Model, dir: string): AttachedFolder {
  const hasAdapter = ADAPTERS.some((name) => existsSync(join(dir, name)));
  const hasHead = existsSync(join(dir, HEAD));
  if (!hasAdapter && !hasHead) {
    throw new InputError({
      where: dir,
      got: 'a folder without adapter and reranking head',
      expected: `one of ${[...ADAPTERS, HEAD].join(', ')}`,
      remedy: 'name the folder that training or PEFT wrote',
    });
  }
  const linears = model.backbone.linears();
  const { hiddenSize } = model.backbone;
  const { backend } = linears[0]!.weight;
  const adapter = hasAdapter ? loadAdapter(dir, linears, { seed: 0, hiddenSize, backend }) : null;
  const before = { head: model.head, hooks: model.hooks };
  const head = hasHead ? new RerankHead(hiddenSize, backend) : null;
  const detach = (): void => {
    adapter?.detach();
    head?.dispose();
    model.head = before.head;
    model.hooks = before.hooks;
  };
  try {
    if (head) readParameters(join(dir, HEAD), head.parameters());
  } catch (error) {
    detach();
    throw error;
  }
  if (adapter) model.hooks = [...model.hooks, ...adapter.hooks];
  if (head) {
    model.head = {
      logits: (hidden, batch, pairs) =>
        head.logits(
          hidden,
          pool(hidden, batch, model.pooling.mode),
          pairs.map(({ ids, firstTokens }) => ({ ids, queryTokens: firstTokens })),
        ),
    };
  }
  return { adapter: hasAdapter, head: hasHead, detach };
}
