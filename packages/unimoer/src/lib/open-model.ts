import { availableParallelism } from 'node:os';
import { BackendError, getBackend, setDefaultBackend, setThreads } from '@unimoer/core';
import { loadModel, type Model } from '@unimoer/models';
import { attachTrained } from '@unimoer/train';
import { InputError } from './errors.js';
import type { Io } from './io.js';
import type { ModelOptions } from './model-options.js';

/** What the native backend takes at most. */
const maxThreads = 256;

/** A loaded model with its adapter; `dispose` frees both. */
export interface OpenModel {
  model: Model;
  dispose(): void;
}

/** Chooses device, backend and threads, loads the model, attaches the adapter, prints what is questionable. */
export function openModel(io: Io, options: ModelOptions & { instruction?: string }): OpenModel {
  chooseDevice(options);
  if (options.backend) setDefaultBackend(getBackend(options.backend));
  if (options.threads !== undefined) {
    setThreads(Math.min(options.threads || availableParallelism(), maxThreads));
  }
  const model = loadModel(options.model, {
    from: io.cwd,
    dtype: options.dtype,
    ...(options.weights ? { weights: options.weights } : {}),
    ...(options.pooling ? { pooling: options.pooling } : {}),
    ...(options.maxLength ? { maxLength: options.maxLength } : {}),
    ...(options.instruction === undefined ? {} : { instruction: options.instruction }),
  });
  try {
    for (const warning of model.warnings) io.warn(warning);
    const adapter = options.adapter ? attachTrained(model, io.path(options.adapter)) : null;
    return {
      model,
      dispose() {
        adapter?.detach();
        model.dispose();
      },
    };
  } catch (error) {
    model.dispose();
    throw error;
  }
}

/** Runs `use` with an open model and frees it afterwards. */
export async function withModel<T>(
  io: Io,
  options: ModelOptions & { instruction?: string },
  use: (model: Model) => Promise<T>,
): Promise<T> {
  const open = openModel(io, options);
  try {
    return await use(open.model);
  } finally {
    open.dispose();
  }
}

function chooseDevice({ device }: ModelOptions): void {
  if (device === 'cpu') return;
  if (!/^cuda:\d+$/.test(device)) {
    throw new InputError({
      where: '--device',
      got: JSON.stringify(device),
      expected: 'cpu or cuda:N',
      remedy: 'for example --device cpu',
    });
  }
  throw new BackendError({
    where: '--device',
    got: `${device}, which is absent`,
    expected: 'cpu, the only device of this version',
    remedy: 'leave the option out',
  });
}
