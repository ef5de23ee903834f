import { fileError, UnimoerError } from '@unimoer/core';

/** Runs file system calls on `path`; their errors become typed ones that say what to do. */
export function onDisk<T>(path: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw error instanceof UnimoerError ? error : fileError(path, error);
  }
}
