/** Exports the ONNX graphs of the encoding benchmark once, into a cache outside the repository. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { python, root } from '../lib/record.mjs';

const folder = join(root, 'benchmarks/baselines/onnx');
const INSTALL = 'npm install --prefix benchmarks/baselines/onnx --ignore-scripts --no-package-lock';

/** Versions of the installed peers, or null where they are not installed. */
export function onnxVersions() {
  const version = (name) => {
    const file = join(folder, 'node_modules', name, 'package.json');
    return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')).version : null;
  };
  const found = {
    onnxruntimeNode: version('onnxruntime-node'),
    transformersJs: version('@huggingface/transformers'),
  };
  return found.onnxruntimeNode && found.transformersJs ? found : null;
}

/** The folder of the exported graphs; says what is missing and returns null where it cannot be made. */
export function exportedGraphs(spec) {
  if (!onnxVersions()) {
    console.error(`onnxruntime-node and transformers.js are left out; to install them: ${INSTALL}`);
    return null;
  }
  const script = join(folder, 'export.py');
  const key = createHash('sha256')
    .update(readFileSync(script))
    .update(readFileSync(spec.weights))
    .update(String(spec.maxLength))
    .digest('hex')
    .slice(0, 16);
  const out = join(process.env.UNIMOER_BENCH_CACHE ?? join(tmpdir(), 'unimoer-bench-onnx'), key);
  const done = join(out, 'export.json');
  if (existsSync(done)) return out;
  console.error('exporting ONNX graphs');
  rmSync(out, { recursive: true, force: true });
  mkdirSync(out, { recursive: true });
  const file = join(out, 'spec.json');
  writeFileSync(file, JSON.stringify(spec));
  try {
    const stdio = ['ignore', 'pipe', 'ignore'];
    const lines = execFileSync(python, [script, file, out], { encoding: 'utf8', stdio });
    writeFileSync(done, lines.trim().split('\n').at(-1));
    return out;
  } catch {
    console.error(
      'onnxruntime-node and transformers.js are left out: the export failed; it needs ' +
        'pip install -r benchmarks/baselines/onnx/requirements.txt',
    );
    return null;
  }
}

/** Specs of the peers for `duel`: each library at its default and at its best. */
export function onnxPeers(specFile) {
  const side = (name, library, form, batch) => ({
    name,
    command: process.execPath,
    args: [join(folder, 'encode.mjs'), specFile, library, form, batch],
  });
  return [
    side('onnxruntime-node f32', 'onnxruntime', 'fused/f32', 'auto'),
    side('onnxruntime-node f32 (default)', 'onnxruntime', 'plain/f32', '32'),
    side('onnxruntime-node int8', 'onnxruntime', 'fused/int8', 'auto'),
    side('transformers.js f32', 'transformers', 'fused/f32', 'auto'),
    side('transformers.js f32 (default)', 'transformers', 'plain/f32', '32'),
    side('transformers.js int8', 'transformers', 'fused/int8', 'auto'),
    side('transformers.js int8 (default)', 'transformers', 'plain/int8', '32'),
  ];
}
