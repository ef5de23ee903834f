import { existsSync, readFileSync } from 'node:fs';
import { InputError } from '@unimoer/core';

export type JsonRecord = Record<string, unknown>;

function isRecord(value: unknown): value is JsonRecord {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function describe(value: unknown): string {
  return value === undefined ? 'nothing' : (JSON.stringify(value) ?? String(value)).slice(0, 80);
}

/** Parses a JSON file. Throws InputError when it is absent or is no JSON. */
export function readJson(file: string, remedy: string): unknown {
  if (!existsSync(file)) {
    throw new InputError({ where: file, got: 'no such file', expected: 'a JSON file', remedy });
  }
  try {
    return JSON.parse(readFileSync(file, 'utf8').replace(/^\uFEFF/, ''));
  } catch (cause) {
    const got = cause instanceof Error ? cause.message : String(cause);
    const expected = 'valid JSON';
    throw new InputError(
      { where: file, got, expected, remedy: 'download the file again' },
      { cause },
    );
  }
}

/** Reads typed fields of a JSON object; every complaint names the file and the field. */
export class Fields {
  constructor(
    readonly file: string,
    readonly record: JsonRecord,
    private readonly prefix = '',
  ) {}

  static read(file: string, remedy: string): Fields {
    const value = readJson(file, remedy);
    if (!isRecord(value)) {
      throw new InputError({ where: file, got: describe(value), expected: 'an object', remedy });
    }
    return new Fields(file, value);
  }

  static readOptional(file: string): Fields | null {
    return existsSync(file) ? Fields.read(file, 'correct or remove the file') : null;
  }

  fail(name: string, expected: string, remedy = 'correct the field'): InputError {
    const where = `${this.file}: ${this.prefix}${name}`;
    return new InputError({ where, got: describe(this.record[name]), expected, remedy });
  }

  has(name: string): boolean {
    return this.record[name] !== undefined && this.record[name] !== null;
  }

  raw(name: string): unknown {
    return this.record[name];
  }

  integer(name: string, fallback?: number, minimum = 1): number {
    if (!this.has(name) && fallback !== undefined) return fallback;
    const value = this.record[name];
    if (typeof value !== 'number' || !Number.isInteger(value) || value < minimum) {
      throw this.fail(name, `a whole number of at least ${minimum}`);
    }
    return value;
  }

  positive(name: string, fallback?: number): number {
    if (!this.has(name) && fallback !== undefined) return fallback;
    const value = this.record[name];
    if (typeof value !== 'number' || !(value > 0) || value === Number.POSITIVE_INFINITY) {
      throw this.fail(name, 'a positive number');
    }
    return value;
  }

  boolean(name: string, fallback: boolean): boolean {
    if (!this.has(name)) return fallback;
    const value = this.record[name];
    if (typeof value !== 'boolean') throw this.fail(name, 'true or false');
    return value;
  }

  string(name: string, fallback?: string): string {
    if (!this.has(name) && fallback !== undefined) return fallback;
    const value = this.record[name];
    if (typeof value !== 'string') throw this.fail(name, 'a string');
    return value;
  }

  strings(name: string): string[] {
    if (!this.has(name)) return [];
    const value = this.record[name];
    if (!Array.isArray(value) || !value.every((item) => typeof item === 'string')) {
      throw this.fail(name, 'a list of strings');
    }
    return value;
  }

  object(name: string): Fields | null {
    if (!this.has(name)) return null;
    const value = this.record[name];
    if (!isRecord(value)) throw this.fail(name, 'an object');
    return new Fields(this.file, value, `${this.prefix}${name}.`);
  }

  /** The string values of an object field, in file order. */
  stringMap(name: string): Map<string, string> {
    const value = this.record[name];
    if (value === undefined || value === null) return new Map();
    if (!isRecord(value)) throw this.fail(name, 'an object of strings');
    const entries = Object.entries(value);
    if (!entries.every((e): e is [string, string] => typeof e[1] === 'string')) {
      throw this.fail(name, 'an object of strings');
    }
    return new Map(entries);
  }
}
