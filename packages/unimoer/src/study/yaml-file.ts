import { readFileSync } from 'node:fs';
import { isMap, isNode, isPair, isScalar, isSeq, LineCounter, parseDocument } from 'yaml';
import type { z } from 'zod';
import { InputError } from '../lib/errors.js';
import { nearest } from '../lib/suggest.js';

type Path = readonly PropertyKey[];

/** A YAML file with the line of every key. */
export interface YamlFile {
  path: string;
  value: unknown;
  /** Line of the node at a path of keys and indices, or of its nearest ancestor; `key` asks for the key itself. */
  lineOf(path: Path, key?: PropertyKey): number;
}

/** Reads a YAML file; syntax errors and duplicate keys are InputErrors with `file:line`. */
export function readYaml(path: string, text = readFileSync(path, 'utf8')): YamlFile {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const problem = document.errors[0];
  if (problem) {
    throw new InputError({
      where: `${path}:${lines.linePos(problem.pos[0]).line}`,
      got: problem.message,
      expected: 'valid YAML',
      remedy: 'mend this line',
    });
  }
  const lineOf = (keys: Path, key?: PropertyKey): number => {
    let node: unknown = document.contents;
    let offset = isNode(node) ? (node.range?.[0] ?? 0) : 0;
    for (const part of key === undefined ? keys : [...keys, key]) {
      if (isMap(node)) {
        const pair = node.items.find(
          (p) => isScalar(p.key) && String(p.key.value) === String(part),
        );
        if (!isPair(pair)) break;
        if (isNode(pair.key)) offset = pair.key.range?.[0] ?? offset;
        node = pair.value;
      } else if (isSeq(node)) {
        node = node.items[Number(part)];
        if (isNode(node)) offset = node.range?.[0] ?? offset;
      } else break;
    }
    return lines.linePos(offset).line;
  };
  return { path, value: document.toJS(), lineOf };
}

/** The keys that the schema allows at a path, or none where it is no object. */
function keysAt(schema: z.core.$ZodType, path: Path): string[] {
  let at: z.core.$ZodType | undefined = schema;
  const unwrap = (type: z.core.$ZodType | undefined): z.core.$ZodType | undefined => {
    let inner = type;
    while (inner && 'innerType' in inner._zod.def) {
      inner = inner._zod.def.innerType as z.core.$ZodType;
    }
    return inner;
  };
  for (const part of path) {
    at = unwrap(at);
    if (!at) return [];
    const def = at._zod.def as {
      shape?: Record<string, z.core.$ZodType>;
      element?: z.core.$ZodType;
    };
    at = def.shape ? def.shape[String(part)] : def.element;
  }
  const def = unwrap(at)?._zod.def as { shape?: Record<string, unknown> } | undefined;
  return Object.keys(def?.shape ?? {});
}

const show = (path: Path): string =>
  path.reduce<string>(
    (text, part) =>
      typeof part === 'number'
        ? `${text}[${part}]`
        : text
          ? `${text}.${String(part)}`
          : String(part),
    '',
  );

function valueAt(value: unknown, path: Path): unknown {
  let at = value;
  for (const part of path) {
    if (typeof at !== 'object' || at === null) return undefined;
    at = (at as Record<PropertyKey, unknown>)[part];
  }
  return at;
}

/**
 * Checks a value against a schema. The first problem becomes an InputError with file and line; an
 * unknown key names the nearest valid one.
 */
export function validate<S extends z.ZodType>(
  schema: S,
  value: unknown,
  file: Pick<YamlFile, 'path' | 'lineOf'>,
): z.infer<S> {
  const result = schema.safeParse(value, { reportInput: true });
  if (result.success) return result.data;
  // A misspelt key is also a missing one: the spelling is what the user wants to hear of.
  const { issues } = result.error;
  const issue = issues.find(({ code }) => code === 'unrecognized_keys') ?? issues[0]!;
  if (issue.code === 'unrecognized_keys') {
    const key = issue.keys[0]!;
    const valid = keysAt(schema, issue.path);
    const suggestion = nearest(key, valid);
    const place = show(issue.path);
    throw new InputError({
      where: `${file.path}:${file.lineOf(issue.path, key)}`,
      got: `unknown key ${JSON.stringify(key)}${place ? ` in ${place}` : ''}`,
      expected: `one of ${valid.join(', ')}`,
      remedy: suggestion ? `did you mean ${JSON.stringify(suggestion)}?` : 'remove it',
    });
  }
  const got = valueAt(value, issue.path);
  const place = show(issue.path);
  throw new InputError({
    where: `${file.path}:${file.lineOf(issue.path)}`,
    got: got === undefined ? `no ${place}` : `${place} = ${JSON.stringify(got)}`,
    expected: issue.message
      .replace(/^(Invalid|Too)[^:]*: /, '')
      .replace(/^expected /, '')
      .replace(/, received .*$/, ''),
    remedy: got === undefined ? 'add it' : 'change this value',
  });
}
