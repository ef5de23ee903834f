import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Register } from '../src/commands/index.js';
import { InputError, InterruptedError, OutputError } from '../src/lib/errors.js';
import { integer } from '../src/lib/options.js';
import { OutputSet, withOutputs, writeFileAtomic } from '../src/lib/outputs.js';
import { createProgress, formatDuration } from '../src/lib/progress.js';
import { editDistance, nearest } from '../src/lib/suggest.js';
import { cli, Sink, temporaryFolder } from './support.js';

/** A command that ends as its argument says. */
const probe: Register = (program, io) => {
  program
    .command('probe <how>')
    .option('--top <n>', 'a count', integer(1))
    .action(async (how: string) => {
      io.note('working');
      io.result({ how }, `how: ${how}`);
      if (how === 'input') {
        throw new InputError({
          where: 'a.jsonl:3',
          got: 'no _id',
          expected: 'a string',
          remedy: 'add one',
        });
      }
      if (how === 'foreign') throw Object.assign(new Error('b.tsv:1: bad'), { code: 'INPUT' });
      if (how === 'missing') readFileSync('/nowhere/file.json');
      if (how === 'output') throw new OutputError('/full/out.npy', { code: 'ENOSPC' });
      if (how === 'crash') throw new Error('first\n  second');
      if (how === 'stop') throw new InterruptedError('unimoer study resume runs/x');
    });
};
const commands = [probe];

describe('exit codes and messages', () => {
  it('rule 1: exit 2 for bad input and wrong usage, 1 for other failures', async () => {
    expect((await cli(['probe', 'fine'], { commands })).code).toBe(0);
    expect((await cli(['probe', 'input'], { commands })).code).toBe(2);
    expect((await cli(['probe', 'foreign'], { commands })).code).toBe(2);
    expect((await cli(['probe', 'missing'], { commands })).code).toBe(2);
    expect((await cli(['probe', 'output'], { commands })).code).toBe(1);
    expect((await cli(['probe', 'crash'], { commands })).code).toBe(1);
    expect((await cli(['probe', 'stop'], { commands })).code).toBe(130);
    expect((await cli([], { commands })).code).toBe(2);
    expect((await cli(['prob'], { commands })).code).toBe(2);
    expect((await cli(['probe'], { commands })).code).toBe(2);
    expect((await cli(['probe', 'fine', 'twice'], { commands })).code).toBe(2);
  });

  it('rule 2: an error is one line on stderr, a stack only with --debug', async () => {
    const plain = await cli(['--quiet', 'probe', 'crash'], { commands });
    expect(plain.stderr).toBe('error: first second\n');
    const input = await cli(['--quiet', 'probe', 'input'], { commands });
    expect(input.stderr).toBe('error: a.jsonl:3: got no _id, expected a string; add one\n');
    const debug = await cli(['probe', 'crash', '--debug'], { commands });
    expect(debug.stderr).toContain('frame.test.ts');
    const missing = await cli(['--quiet', 'probe', 'missing'], { commands });
    expect(missing.stderr).toBe(
      'error: /nowhere/file.json: no such file or folder; check the path\n',
    );
  });

  it('rule 2: with --json a failing command prints nothing on stdout', async () => {
    expect((await cli(['probe', 'crash', '--json'], { commands })).stdout).toBe('');
    const good = await cli(['--json', 'probe', 'fine'], { commands });
    expect(JSON.parse(good.stdout)).toEqual({ how: 'fine' });
    expect((await cli(['probe', 'fine'], { commands })).stdout).toBe('how: fine\n');
  });

  it('progress goes to stderr and --quiet silences it', async () => {
    expect((await cli(['probe', 'fine'], { commands })).stderr).toBe('working\n');
    expect((await cli(['probe', 'fine', '--quiet'], { commands })).stderr).toBe('');
  });

  it('names the nearest option and command', async () => {
    const option = await cli(['probe', 'fine', '--tpo', '3'], { commands });
    expect(option).toMatchObject({ code: 2, stdout: '' });
    expect(option.stderr).toMatch(/^error: .*--tpo.*--top.*\n$/);
    expect((await cli(['prode'], { commands })).stderr).toMatch(/^error: .*prode.*probe.*\n$/);
  });

  it('rule 10: a count of 0 is wrong usage', async () => {
    const zero = await cli(['probe', 'fine', '--top', '0'], { commands });
    expect(zero.code).toBe(2);
    expect(zero.stderr).toMatch(/^error: .*--top.*expected an integer >= 1.*\n$/);
  });

  it('prints help with runnable examples and exits 0', async () => {
    const help = await cli(['--help']);
    expect(help.code).toBe(0);
    expect(help.stdout).toContain('$ unimoer study run studies/quick.yaml');
    expect((await cli(['--version'])).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });
});

describe('outputs', () => {
  const folder = temporaryFolder();

  it('rule 3: outputs appear together, missing parents are made', async () => {
    const a = join(folder, 'new/deep/a.npy');
    const b = join(folder, 'new/deep/a.ids.txt');
    await withOutputs((out) => {
      out.write(a, 'A');
      expect(existsSync(a)).toBe(false);
      out.write(b, new TextEncoder().encode('B'));
    });
    expect(readFileSync(a, 'utf8') + readFileSync(b, 'utf8')).toBe('AB');
    expect(readdirSync(join(folder, 'new/deep')).sort()).toEqual(['a.ids.txt', 'a.npy']);
  });

  it('rule 3: a failure replaces nothing and leaves no temporary file', async () => {
    const path = join(folder, 'kept/x.txt');
    writeFileAtomic(path, 'old');
    const failing = withOutputs((out) => {
      out.write(path, 'new');
      throw new Error('late');
    });
    await expect(failing).rejects.toThrow('late');
    expect(readFileSync(path, 'utf8')).toBe('old');
    expect(readdirSync(join(folder, 'kept'))).toEqual(['x.txt']);
  });

  it('rule 3: when one rename fails, those before it are taken back', () => {
    const first = join(folder, 'pair/first.txt');
    const fresh = join(folder, 'pair/fresh.txt');
    const second = join(folder, 'pair/second.txt');
    writeFileAtomic(first, 'old');
    const outputs = new OutputSet();
    outputs.write(first, 'new');
    outputs.write(fresh, 'new');
    outputs.write(second, 'new');
    mkdirSync(second);
    expect(() => outputs.commit()).toThrow(OutputError);
    expect(readFileSync(first, 'utf8')).toBe('old');
    expect(readdirSync(join(folder, 'pair')).sort()).toEqual(['first.txt', 'second.txt']);
  });

  it('rule 3: the next run removes what a dead process left', () => {
    const path = join(folder, 'stale/y.txt');
    mkdirSync(join(folder, 'stale'));
    // Ids beyond the kernel's maximum belong to no process.
    writeFileSync(join(folder, 'stale/.y.txt.tmp-99999999'), 'half');
    writeFileSync(join(folder, `stale/.y.txt.tmp-${process.ppid}`), 'of a live process');
    writeFileAtomic(path, 'whole');
    expect(readdirSync(join(folder, 'stale')).sort()).toEqual(
      [`.y.txt.tmp-${process.ppid}`, 'y.txt'].sort(),
    );
  });

  it('a folder in the place of the output is an OutputError (exit 1)', () => {
    mkdirSync(join(folder, 'taken'));
    expect(() => writeFileAtomic(join(folder, 'taken'), 'x')).toThrow(OutputError);
  });
});

describe('progress', () => {
  it('prints throttled plain lines without a terminal', () => {
    let time = 0;
    const out = new Sink();
    const bar = createProgress(out, { label: 'train', total: 100 }, () => time);
    for (let i = 0; i <= 100; i++) {
      time = i * 1000;
      bar.update(i, 'cell 1');
    }
    bar.finish('done');
    const lines = out.text.trimEnd().split('\n');
    expect(lines).toHaveLength(12);
    expect(lines[1]).toBe('train  10% ETA 1m30s (cell 1)');
    expect(lines.at(-1)).toBe('done');
    expect(out.text).not.toContain('\u001b');
  });

  it('draws a bar on a terminal; work done before a resume does not speed the estimate up', () => {
    let time = 0;
    const out = new Sink(true);
    const bar = createProgress(out, { label: 'study', total: 100, initial: 50 }, () => time);
    time = 10_000;
    bar.update(75);
    expect(out.text).toContain('█'.repeat(18));
    expect(out.text).toContain('75% ETA 10s');
  });

  it('formats durations', () => {
    expect([5, 75, 3700].map(formatDuration)).toEqual(['5s', '1m15s', '1h01m']);
  });
});

describe('nearest name', () => {
  it('counts edits and swaps of neighbours', () => {
    expect(editDistance('kitten', 'sitting')).toBe(3);
    expect(editDistance('seeds', 'seesd')).toBe(1);
    expect(nearest('leraningRate', ['steps', 'learningRate', 'rank'])).toBe('learningRate');
    expect(nearest('x', [])).toBeNull();
  });
});
