import { BackendError } from '../errors';
import { loadNativeBackend } from './native';
import { ReferenceBackend } from './reference/backend';
import type { Backend, MemoryStats } from './types';

/** What runs the ops, and why it is not the native backend if it is not. */
export interface BackendInfo {
  name: string;
  isa: string;
  threads: number;
  addonPath: string | null;
  reason?: string;
}

let reference: ReferenceBackend | null = null;
let chosen: Backend | null = null;
let warned = false;

function referenceBackend(): Backend {
  reference ??= new ReferenceBackend();
  return reference;
}

/**
 * The backend of that name; without one, the default: UNIMOER_BACKEND if set, else native where its
 * addon loads, else the reference backend with one line on stderr saying why.
 */
export function getBackend(name?: 'native' | 'reference'): Backend {
  if (name === 'reference') return referenceBackend();
  if (name === 'native') {
    const { backend, reason } = loadNativeBackend();
    if (backend === null) throw unavailable(reason);
    return backend;
  }
  chosen ??= pickDefault();
  return chosen;
}

/** Replaces the default backend. */
export function setDefaultBackend(backend: Backend): void {
  chosen = backend;
}

/** Describes the default backend. */
export function backendInfo(): BackendInfo {
  const backend = getBackend();
  const { addonPath, reason } = loadNativeBackend();
  const native = backend.name === 'native';
  return {
    name: backend.name,
    isa: backend.isa(),
    threads: backend.threads(),
    addonPath: native ? addonPath : null,
    ...(native || reason === null ? {} : { reason }),
  };
}

/** Sets the number of threads of the default backend; 0 means all cores we may use. */
export function setThreads(n: number): void {
  getBackend().setThreads(n);
}

/** Bytes and buffers in use on a backend, the default one unless given. */
export function memory(backend: Backend = getBackend()): MemoryStats {
  return backend.memory();
}

function pickDefault(): Backend {
  const wish = process.env.UNIMOER_BACKEND;
  if (wish === 'reference') return referenceBackend();
  if (wish !== undefined && wish !== '' && wish !== 'native') {
    throw new BackendError({
      where: 'UNIMOER_BACKEND',
      got: wish,
      expected: 'native or reference',
    });
  }
  const { backend, reason } = loadNativeBackend();
  if (backend !== null) return backend;
  if (wish === 'native') throw unavailable(reason);
  if (!warned) {
    warned = true;
    process.stderr.write(`${fallbackLine(reason)}\n`);
  }
  return referenceBackend();
}

function fallbackLine(reason: string | null): string {
  return (
    `unimoer: running on the slow reference backend because ${reason}; ` +
    'install a C++17 compiler and run `npm run build:native` to change that'
  );
}

function unavailable(reason: string | null): BackendError {
  return new BackendError({
    where: 'backend native',
    got: reason ?? 'no addon',
    expected: 'the native CPU addon',
    remedy:
      'install a C++17 compiler and run `npm run build:native`, or use the slow reference backend',
  });
}
