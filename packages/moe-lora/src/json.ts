import { readFileSync } from 'node:fs';
import { InputError } from '@unimoer/core';

/** A JSON object from a file; InputError names the file when it is none. */
export function parseJson(path: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(path, 'utf8'));
  } catch (cause) {
    throw notAnObject(path, cause instanceof Error ? cause.message : String(cause), cause);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw notAnObject(path, Array.isArray(value) ? 'an array' : String(value));
  }
  return value as Record<string, unknown>;
}

function notAnObject(path: string, got: string, cause?: unknown): InputError {
  return new InputError(
    { where: path, got, expected: 'a JSON object', remedy: 'point to an adapter folder' },
    { cause },
  );
}
