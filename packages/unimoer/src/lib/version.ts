import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

function findManifest(): { version: string; root: string } {
  let folder = dirname(fileURLToPath(import.meta.url));
  for (;;) {
    try {
      const manifest: { name?: string; version?: string } = JSON.parse(
        readFileSync(join(folder, 'package.json'), 'utf8'),
      );
      if (manifest.name === 'unimoer' && manifest.version) {
        return { version: manifest.version, root: folder };
      }
    } catch {
      // No manifest in this folder: the package's own lies further up.
    }
    const parent = dirname(folder);
    if (parent === folder) return { version: '0.0.0', root: folder };
    folder = parent;
  }
}

const manifest = findManifest();

/** Version of the installed `unimoer` package. */
export const version = manifest.version;

/** Folder of the installed `unimoer` package. */
export const packageRoot = manifest.root;
