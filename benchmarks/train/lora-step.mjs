/**
 * LoRA and MoE-LoRA training steps against PyTorch at its best settings.
 * usage: npm run bench -- lora-step [CASE ...]   (UNIMOER_PYTHON names an interpreter with the peers installed)
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { duel } from '../lib/duel.mjs';
import { python, record, root } from '../lib/record.mjs';
import { writeSpec } from './specs.mjs';

const topTwo = { experts: 8, kind: 'topK', topK: 2, shared: true, rank: 8, scale: 2 };
const sparse = { experts: 3, kind: 'sparsegen', topK: 0, shared: false, rank: 32, scale: 2 };
const minilm = { model: 'minilm', count: 32, length: 128 };
const qwen = { model: 'qwen-slice', count: 8, length: 256 };

const bf16Peers = [
  ['torch bf16 eager', ['--dtype', 'bf16', '--attention', 'eager']],
  ['torch bf16 sdpa (default)', ['--dtype', 'bf16', '--attention', 'sdpa']],
  ['torch autocast eager', ['--dtype', 'autocast', '--attention', 'eager']],
];
const f32Peers = [
  ['torch f32 eager', ['--dtype', 'f32', '--attention', 'eager']],
  ['torch f32 sdpa (default)', ['--dtype', 'f32', '--attention', 'sdpa']],
];
const moePeers = [
  ['torch bf16 expert loop', ['--dtype', 'bf16', '--attention', 'eager', '--form', 'loop']],
  ['torch bf16 dense rank space', ['--dtype', 'bf16', '--attention', 'eager', '--form', 'dense']],
];

/** bf16 rounds at 2^-9 in every activation, in different places on the two sides. */
const BF16 = 0.05;
const F32 = 1e-3;

const cases = {
  'minilm-bf16': { spec: minilm, dtype: 'bf16', peers: bf16Peers, tolerance: BF16 },
  'minilm-f32': { spec: minilm, dtype: 'f32', peers: f32Peers, tolerance: F32 },
  'qwen-bf16': { spec: qwen, dtype: 'bf16', peers: bf16Peers, tolerance: BF16 },
  'qwen-f32': { spec: qwen, dtype: 'f32', peers: f32Peers, tolerance: F32 },
  'minilm-scifact-bf16': {
    spec: { ...minilm, mix: true },
    dtype: 'bf16',
    peers: bf16Peers,
    tolerance: BF16,
  },
  'minilm-moe-top2-bf16': {
    spec: { ...minilm, moe: topTwo },
    dtype: 'bf16',
    peers: moePeers,
    tolerance: BF16,
  },
  'minilm-moe-sparsegen-bf16': {
    spec: { ...minilm, moe: sparse },
    dtype: 'bf16',
    peers: moePeers,
    tolerance: BF16,
  },
};

const wanted = process.argv.slice(2).filter((a) => !a.startsWith('-'));
const folder = mkdtempSync(join(tmpdir(), 'unimoer-bench-'));
const results = {};
try {
  for (const [name, { spec, dtype, peers, tolerance }] of Object.entries(cases)) {
    if (wanted.length > 0 && !wanted.includes(name)) continue;
    console.error(`\n${name}`);
    const file = writeSpec(folder, name, spec);
    const ours = {
      name: `unimoer ${dtype}`,
      command: process.execPath,
      args: [join(root, 'benchmarks/train/step.mjs'), file, dtype],
      env: {},
    };
    const theirs = peers.map(([label, args]) => ({
      name: label,
      command: python,
      args: [join(root, 'benchmarks/baselines/pytorch/lora_step.py'), file, ...args],
      // glibc keeps freed blocks, which is PyTorch's best setting: no first-touch cost in every step
      env: {
        MALLOC_TRIM_THRESHOLD_: '-1',
        MALLOC_TOP_PAD_: '268435456',
        MALLOC_MMAP_MAX_: '0',
        GLIBC_TUNABLES: 'glibc.malloc.hugetlb=1',
      },
    }));
    const sides = await duel([ours, ...theirs], { tolerance });
    const best = Math.min(...sides.slice(1).map((s) => s.medianMs));
    const memory = Math.min(...sides.slice(1).map((s) => s.peakRssMb));
    results[name] = {
      sides,
      speedupOverBest: best / sides[0].medianMs,
      memoryRatio: sides[0].peakRssMb / memory,
    };
    console.error(
      `best peer / ours: ${results[name].speedupOverBest.toFixed(2)}x, memory ${results[name].memoryRatio.toFixed(2)}x`,
    );
  }
  if (process.env.UNIMOER_BENCH_RECORD !== '0') record('lora-step', { results });
} finally {
  rmSync(folder, { recursive: true, force: true });
}
