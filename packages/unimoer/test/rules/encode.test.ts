import { existsSync, mkdirSync, readdirSync, readFileSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { start } from '../process.js';
import { cli } from '../support.js';
import { changeTensor, jsonl, readNpy } from './data.js';
import { bert, encode, expectRows, lines, model, place, texts } from './encode-support.js';

it('writes rows in input order, one id a line, title and text joined', async () => {
  const result = await encode([], {
    'texts.jsonl': jsonl(
      { _id: 'b', title: 'wind turns', text: 'the old mill' },
      { _id: 'a', text: texts[0] },
    ),
  });
  expect(result).toMatchObject({ code: 0, vectors: { shape: [2, 64] } });
  expect(readFileSync(join(result.cwd, 'v.ids.txt'), 'utf8')).toBe('b\na\n');
  expect(result.vectors!.rows[0]).toEqual(result.vectors!.rows[1]);
});

it('rule 2: with --json one document on stdout, nothing when it fails', async () => {
  const good = await encode(['--json']);
  expect(JSON.parse(good.stdout)).toMatchObject({
    texts: 5,
    dim: 64,
    vectors: join(good.cwd, 'v.npy'),
  });
  const bad = await encode(['--json'], { 'texts.jsonl': 'x' });
  expect({ code: bad.code, stdout: bad.stdout }).toEqual({ code: 2, stdout: '' });
  expect(bad.stderr).toMatch(/^error: .*texts\.jsonl:1: got text that is not JSON[^\n]*\n$/);
});

describe('rule 3: outputs', () => {
  it('rule 3: both files or none; an old file stays when the command fails', async () => {
    const old = { 'v.npy': 'old', 'v.ids.txt': 'old' };
    const cwd = place({ ...old, 'texts.jsonl': `${lines}nonsense\n` });
    const { code } = await cli(
      ['encode', '--model', bert, '--in', 'texts.jsonl', '--out', 'v.npy'],
      { cwd },
    );
    expect(code).toBe(2);
    expect(readFileSync(join(cwd, 'v.npy'), 'utf8')).toBe('old');
    expect(readFileSync(join(cwd, 'v.ids.txt'), 'utf8')).toBe('old');
    expect(readdirSync(cwd).sort()).toEqual(['texts.jsonl', 'v.ids.txt', 'v.npy']);
  });

  it('rule 3: the ids file drops a final .npy only; missing folders are created', async () => {
    const cwd = place({ '.v.npy.tmp-999999999': 'stale' });
    for (const out of ['v.npy', 'deep/er/x.bin', 'y.npy.npy']) {
      const run = await cli(['encode', '--model', bert, '--in', 'texts.jsonl', '--out', out], {
        cwd,
      });
      expect(run.code).toBe(0);
    }
    expect(readdirSync(cwd).sort()).toEqual(
      ['deep', 'texts.jsonl', 'v.ids.txt', 'v.npy', 'y.npy.ids.txt', 'y.npy.npy'].sort(),
    );
    expect(readdirSync(join(cwd, 'deep/er')).sort()).toEqual(['x.bin', 'x.bin.ids.txt']);
  });

  it('rule 3: a place that cannot be written is exit 1', async () => {
    const cwd = place({ file: '' });
    const run = await cli(
      ['encode', '--model', bert, '--in', 'texts.jsonl', '--out', 'file/v.npy'],
      { cwd },
    );
    expect(run.code).toBe(1);
    mkdirSync(join(cwd, 'w.ids.txt'));
    const second = await cli(['encode', '--model', bert, '--in', 'texts.jsonl', '--out', 'w.npy'], {
      cwd,
    });
    expect(second.code).toBe(1);
    expect(existsSync(join(cwd, 'w.npy'))).toBe(false);
  });
});

describe('rule 4: lines', () => {
  it.each([
    ['an empty _id', '{"_id": "", "text": "x"}'],
    ['_id "7" of type number', '{"_id": 7, "text": "x"}'],
    ['with white space', '{"_id": "x y", "text": "x"}'],
    ['no _id', '{"text": "x"}'],
    ['a second time', '{"_id": "t0", "text": "x"}'],
    ['not UTF-8', Buffer.from('{"_id": "z", "text": "\xff"}', 'latin1')],
  ])('rule 4: %s is refused with file:line', async (got, line) => {
    const content = Buffer.concat([
      Buffer.from(lines),
      Buffer.from(line as string),
      Buffer.from('\n'),
    ]);
    const { code, stderr } = await encode([], { 'texts.jsonl': content });
    expect(code).toBe(2);
    expect(stderr).toContain('texts.jsonl:6: got ');
    expect(stderr).toContain(got);
  });

  it('rule 4: --on-bad-line warn counts and skips', async () => {
    const content = `${lines}{"text":"x"}\n{"_id":"t0","text":"x"}\n`;
    const { code, stderr, vectors } = await encode(['--on-bad-line', 'warn'], {
      'texts.jsonl': content,
    });
    expect({ code, shape: vectors?.shape }).toEqual({ code: 0, shape: [5, 64] });
    expect(stderr).toMatch(/warning: .*2 bad lines skipped/);
  });

  it('rule 4: BOM, CRLF and blank lines are accepted silently', async () => {
    const content = `\ufeff${lines.replaceAll('\n', '\r\n\r\n')}`;
    const { code, stderr, vectors } = await encode(['--quiet'], { 'texts.jsonl': content });
    expect({ code, stderr, shape: vectors?.shape }).toEqual({
      code: 0,
      stderr: '',
      shape: [5, 64],
    });
  });
});

describe('rule 5: empty texts', () => {
  const content = jsonl({ _id: 'a', text: ' ' }, { _id: 'b', text: '' }, { _id: 'c', text: 'no' });

  it('rule 5: empty documents are encoded, with one counted warning', async () => {
    const { code, stderr, vectors } = await encode(['--quiet'], { 'texts.jsonl': content });
    expect({ code, shape: vectors?.shape }).toEqual({ code: 0, shape: [3, 64] });
    expect(stderr).toBe('warning: 2 texts with an empty document\n');
  });

  it('rule 5: an empty query is an error', async () => {
    const { code, stderr } = await encode(['--task', 'query'], { 'texts.jsonl': content });
    expect(code).toBe(2);
    expect(stderr).toContain('texts.jsonl:1');
  });
});

it('rule 6: packed input, several members; truncation is refused', async () => {
  const half = lines.indexOf('\n') + 1;
  const packed = Buffer.concat([gzipSync(lines.slice(0, half)), gzipSync(lines.slice(half))]);
  const cwd = place({ 'a.jsonl.gz': packed, 'b.jsonl.gz': packed.subarray(0, -3) });
  const command = (name: string) => ['encode', '--model', bert, '--in', name, '--out', 'v.npy'];
  expect((await cli(command('a.jsonl.gz'), { cwd })).code).toBe(0);
  expect(readNpy(join(cwd, 'v.npy')).shape).toEqual([5, 64]);
  expect((await cli(command('b.jsonl.gz'), { cwd })).code).toBe(2);
});

it('rule 8: truncated weights are exit 2', async () => {
  const cut = model({});
  truncateSync(join(cut, 'model.safetensors'), 5000);
  const { code, stderr } = await encode([], {}, cut);
  expect([code, stderr]).toEqual([2, expect.stringContaining('model.safetensors')]);
});

describe('rule 9: results are checked', () => {
  it('rule 9: NaN weights are exit 2 and named', async () => {
    const broken = model({});
    changeTensor(broken, 'encoder.layer.1.output.dense.weight', (values) => {
      values[7] = Number.NaN;
    });
    const { code, stderr } = await encode([], {}, broken);
    expect([code, stderr]).toEqual([
      2,
      expect.stringContaining('encoder.layer.1.output.dense.weight'),
    ]);
  });

  it('rule 9: a vector that is not finite names the first text', async () => {
    const broken = model({});
    changeTensor(broken, 'encoder.layer.1.output.dense.weight', (values) => {
      values.fill(3e38);
    });
    const { code, stderr, cwd } = await encode([], {}, broken);
    expect([code, stderr]).toEqual([2, expect.stringContaining('texts.jsonl:1 (_id "t0")')]);
    expect(existsSync(join(cwd, 'v.npy'))).toBe(false);
  });
});

describe('rule 10: numbers', () => {
  it('rule 10: --max-length beyond the positions is clamped with a warning', async () => {
    const { code, stderr, vectors } = await encode(['--max-length', '1000']);
    expect(code).toBe(0);
    expect(stderr).toMatch(/warning: .*1000.*64/);
    expect(vectors).toEqual((await encode()).vectors);
  });

  it('rule 10: --threads 0 means all cores; zero elsewhere is wrong usage', async () => {
    expect((await encode(['--threads', '0'])).code).toBe(0);
    for (const option of ['--batch-tokens', '--max-length']) {
      const { code, stderr } = await encode([option, '0']);
      expect([code, stderr]).toEqual([2, expect.stringContaining(option)]);
    }
    expect((await encode(['--threads', '-1'])).code).toBe(2);
  });
});

it('rule 13: SIGTERM ends with 130 and leaves nothing half written', async () => {
  const cwd = place();
  const run = start(['encode', '--model', bert, '--in', '-', '--out', join(cwd, 'v.npy')]);
  run.child.stdin!.write(lines);
  await new Promise<void>((resolve) => {
    const timer = setInterval(() => {
      if (!existsSync(join(cwd, `.v.npy.tmp-${run.child.pid}`))) return;
      clearInterval(timer);
      resolve();
    }, 50);
  });
  run.child.kill('SIGTERM');
  const { code } = await run.ended;
  expect(code).toBe(130);
  expect(readdirSync(cwd)).toEqual(['texts.jsonl']);
});

it('reads standard input', async () => {
  const cwd = place();
  const out = join(cwd, 'v.npy');
  const run = start(['encode', '--model', bert, '--in', '-', '--out', out, '--quiet']);
  run.child.stdin!.end(lines);
  expect(await run.ended).toMatchObject({ code: 0 });
  expect(readNpy(join(cwd, 'v.npy')).rows).toEqual((await encode()).vectors!.rows);
});

it('rule 16: --backend reference agrees; an absent native backend is exit 1', async () => {
  const reference = await encode(['--backend', 'reference']);
  expect(reference.code).toBe(0);
  expectRows(reference.vectors!.rows, (await encode()).vectors!.rows, 1e-5);
  const out = join(place(), 'v.npy');
  const run = start(['encode', '--model', bert, '--in', '-', '--out', out, '--backend', 'native'], {
    env: { UNIMOER_CPU_ADDON: '/nowhere.node' },
  });
  const { code, stderr } = await run.ended;
  expect([code, stderr]).toEqual([1, expect.stringMatching(/^error: .*native.*compiler/)]);
});

it('rule 17: the form of hf: and npm: names is checked', async () => {
  for (const name of [
    'hf:',
    'hf:one',
    'hf:a/b/c',
    'hf:a/../b',
    'npm:',
    'npm:Bad Name',
    'npm:../x',
  ]) {
    const { code, stderr } = await encode([], {}, name);
    expect([code, stderr]).toEqual([2, expect.stringContaining(name)]);
  }
});
