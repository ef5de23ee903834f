/**
 * Gives relative imports in a package's emitted declarations their file extension, which `nodenext` resolution
 * requires and tsc does not add. Runs in the package's folder after tsc.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';

const dist = resolve('dist');
const specifier = /((?:from|import)\s*\(?\s*)(['"])(\.{1,2}\/[^'"]*|\.{1,2})\2/g;

for (const entry of readdirSync(dist, { recursive: true })) {
  if (!entry.endsWith('.d.ts')) continue;
  const file = join(dist, entry);
  const before = readFileSync(file, 'utf8');
  const after = before.replace(specifier, (all, lead, quote, path) => {
    if (/\.(js|json)$/.test(path)) return all;
    const base = join(dirname(file), path);
    const suffix = existsSync(`${base}.d.ts`) ? '.js' : '/index.js';
    if (suffix === '/index.js' && !existsSync(join(base, 'index.d.ts'))) {
      throw new Error(`${file}: ${path} names no declaration`);
    }
    return `${lead}${quote}${path}${suffix}${quote}`;
  });
  if (after !== before) writeFileSync(file, after);
}
