/**
 * LoRA and MoE-LoRA training steps against PyTorch at its best settings.
 * usage: npm run bench -- lora-step [CASE ...] [--isa NAME]
 *
 * UNIMOER_PYTHON names an interpreter with the peers installed. `--isa` forces our instruction set; with avx2 PyTorch
 * runs held to AVX2 as we are, and also free to use what the machine has. Held, or on a machine without bf16
 * instructions, it runs in f32 whatever the case: it emulates bf16 there, at a tenth of the speed or less.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { duel } from '../lib/duel.mjs';
import { measurePeak } from '../lib/peak.mjs';
import { machineIsa, python, record, root } from '../lib/record.mjs';
import { describeRoof, roofline } from './flops.mjs';
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

const { values, positionals: wanted } = parseArgs({
  options: { isa: { type: 'string', default: '' } },
  allowPositionals: true,
});
const unknown = wanted.find((name) => !(name in cases));
if (unknown) {
  console.error(`error: CASE: got ${unknown}, expected ${Object.keys(cases).join(', ')}`);
  process.exit(2);
}
const { isa } = values;
/** Names of peers held to the instruction set that ours is held to. */
const HELD = ', AVX2 only';
const peersHaveBf16 = machineIsa === 'avx512bf16';
const held = { ATEN_CPU_CAPABILITY: 'avx2', ONEDNN_MAX_CPU_ISA: 'AVX2' };
// glibc keeps freed blocks, which is PyTorch's best setting: no first-touch cost in every step
const tuned = {
  MALLOC_TRIM_THRESHOLD_: '-1',
  MALLOC_TOP_PAD_: '268435456',
  MALLOC_MMAP_MAX_: '0',
  GLIBC_TUNABLES: 'glibc.malloc.hugetlb=1',
};
/** The same work in f32. */
const inF32 = (spec) =>
  spec.moe
    ? moePeers.map(([label, args]) => [
        label.replace('bf16', 'f32'),
        args.map((arg) => (arg === 'bf16' ? 'f32' : arg)),
      ])
    : f32Peers;
const fastest = (sides) =>
  sides.length > 0 ? Math.min(...sides.map(({ medianMs }) => medianMs)) : null;
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
      env: isa ? { UNIMOER_CPU_ISA: isa } : {},
    };
    const torch = (label, args, env) => ({
      name: label,
      command: python,
      args: [join(root, 'benchmarks/baselines/pytorch/lora_step.py'), file, ...args],
      env,
    });
    const theirs = (peersHaveBf16 ? peers : inF32(spec)).map(([label, args]) =>
      torch(label, args, tuned),
    );
    if (isa === 'avx2' && peersHaveBf16) {
      for (const [label, args] of inF32(spec)) {
        theirs.push(torch(`${label}${HELD}`, args, { ...tuned, ...held }));
      }
    }
    measurePeak(isa, 2);
    const sides = await duel([ours, ...theirs], { tolerance });
    const peak = measurePeak(isa, 2)[dtype];
    const [mine, ...others] = sides;
    const best = fastest(others);
    const bestHeld = fastest(others.filter(({ name }) => name.endsWith(HELD)));
    const memory = Math.min(...others.map((s) => s.peakRssMb));
    const roof = roofline(mine.settings.flops.total, peak, mine.medianMs, bestHeld ?? best);
    const result = {
      isa: mine.settings.isa,
      sides,
      speedupOverBest: best / mine.medianMs,
      ...(bestHeld ? { speedupOverAvx2: bestHeld / mine.medianMs } : {}),
      memoryRatio: mine.peakRssMb / memory,
      roofline: roof,
    };
    results[name] = result;
    console.error(
      `best peer / ours: ${result.speedupOverBest.toFixed(2)}x` +
        `${bestHeld ? `, held to AVX2 ${result.speedupOverAvx2.toFixed(2)}x` : ''}, memory ${result.memoryRatio.toFixed(2)}x`,
    );
    console.error(describeRoof(roof));
  }
  if (process.env.UNIMOER_BENCH_RECORD !== '0')
    record(isa ? `lora-step-${isa}` : 'lora-step', { results });
} finally {
  rmSync(folder, { recursive: true, force: true });
}
