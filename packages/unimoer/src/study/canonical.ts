import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { packageRoot } from '../lib/version.js';

/** JSON with sorted keys and without undefined fields: equal values give equal text. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, item: unknown) =>
    typeof item === 'object' && item !== null && !Array.isArray(item)
      ? Object.fromEntries(Object.entries(item).sort(([a], [b]) => (a < b ? -1 : 1)))
      : item,
  );
}

/** SHA-256 in hexadecimal of a value's canonical JSON. */
export function hashOf(value: unknown): string {
  return createHash('sha256').update(canonicalJson(value)).digest('hex');
}

/** SHA-256 over the names and contents of files. */
export function hashFiles(files: readonly { name: string; path: string }[]): string {
  const hash = createHash('sha256');
  for (const { name, path } of files) {
    hash.update(`${name}\0`).update(createHash('sha256').update(readFileSync(path)).digest());
  }
  return hash.digest('hex');
}

function* filesUnder(folder: string, prefix: string): Generator<{ name: string; path: string }> {
  const entries = readdirSync(folder, { withFileTypes: true });
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const path = join(folder, entry.name);
    const name = `${prefix}/${entry.name}`;
    if (entry.isDirectory()) yield* filesUnder(path, name);
    else if (/\.(js|ts)$/.test(entry.name)) yield { name, path };
  }
}

const ours = ['core', 'models', 'moe-lora', 'losses', 'train', 'eval-beir'];

/** Hash of the code that decides a cell's result: our packages as they run now, built or from source. */
export function codeVersion(): string {
  const files = ours.flatMap((name) => {
    const entry = fileURLToPath(import.meta.resolve(`@unimoer/${name}`));
    return [...filesUnder(dirname(entry), name)];
  });
  const own = import.meta.url.endsWith('.ts') ? 'src/study' : 'dist';
  files.push(...filesUnder(join(packageRoot, own), 'unimoer'));
  return hashFiles(files);
}
