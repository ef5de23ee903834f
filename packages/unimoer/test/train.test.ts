import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { start } from './process.js';
import { cli, temporaryFolder } from './support.js';
import { tinyModel, writeCorpus } from './tiny-study.js';

const folder = temporaryFolder();
writeCorpus(join(folder, 'data'));

function trainFile(name: string, change: (yaml: string) => string = (y) => y): string {
  const file = join(folder, `${name}.yaml`);
  const yaml = `name: ${name}
model: ${JSON.stringify(tinyModel)}
data: { path: data }
seed: 3
arm: joint
adapter: { rank: 8 }
training:
  steps: 8
  dtype: f32
  negativeRanks: [0, 8]
  checkpointEvery: 3
  embedding: { queries: 4, negatives: 1, maxLength: 24, temperature: 0.05 }
  reranking: { queries: 3, negatives: 2, maxLength: 32, loss: pointwise }
  optimizer: { lr: 0.01 }
`;
  writeFileSync(file, change(yaml));
  return file;
}

const text = (...path: string[]) => readFileSync(join(folder, ...path), 'utf8');

describe('unimoer train', () => {
  const file = trainFile('whole');

  it('writes metrics, checkpoints, the resolved configuration and an adapter', async () => {
    const out = join(folder, 'whole');
    const result = await cli(['train', file, '--out', out, '--quiet', '--json']);
    expect(result).toMatchObject({ code: 0, stderr: '' });
    expect(JSON.parse(result.stdout)).toMatchObject({ arm: 'joint', seed: 3, steps: 8 });
    const metrics = text('whole', 'metrics.jsonl')
      .trim()
      .split('\n')
      .map((l) => JSON.parse(l));
    expect(metrics).toHaveLength(8);
    expect(metrics.at(-1).rerankingLoss).toBeLessThan(metrics[0].rerankingLoss);
    expect(parse(text('whole', 'config.resolved.yaml')).training.optimizer.betas).toEqual([
      0.9, 0.999,
    ]);
    expect(readdirSync(join(out, 'checkpoints'))).toEqual(['step-000008']);
    expect(readdirSync(join(out, 'adapter'))).toContain('adapter_model.safetensors');
  });

  it('refuses a folder that holds a run, and to resume where there is none', async () => {
    const out = join(folder, 'whole');
    const again = await cli(['train', file, '--out', out]);
    expect(again.code).toBe(2);
    expect(again.stderr).toContain('--resume');
    expect((await cli(['train', file, '--out', join(folder, 'no'), '--resume'])).code).toBe(2);
  });

  it('refuses an arm without training and unknown keys', async () => {
    const bare = await cli(['train', trainFile('bare', (y) => y.replace('joint', 'zeroShot'))]);
    expect(bare.code).toBe(2);
    expect(bare.stderr).toMatch(/bare\.yaml:5: got an arm without training/);
    const typo = await cli(['train', trainFile('typo', (y) => y.replace('seed: 3', 'sede: 3'))]);
    expect(typo.code).toBe(2);
    expect(typo.stderr).toMatch(/typo\.yaml:4: got unknown key "sede".*"seed"/);
  });

  it('rule 17: model names are checked for form, and nothing is written', async () => {
    for (const model of ['npm:../../etc', 'npm:UPPER CASE', 'hf:only-a-name']) {
      const bad = trainFile('names', (y) => y.replace(JSON.stringify(tinyModel), `"${model}"`));
      const result = await cli(['train', bad, '--out', join(folder, 'names')]);
      expect(result.code).toBe(2);
      expect(result.stderr).toMatch(/^error: model (npm|hf):.*\n$/);
    }
    expect(existsSync(join(folder, 'names'))).toBe(false);
  });

  it('rule 13: SIGINT keeps a checkpoint; --resume ends with the same bits', async () => {
    const long = trainFile('long', (y) => y.replace('steps: 8', 'steps: 60'));
    expect((await cli(['train', long, '--out', join(folder, 'long'), '--quiet'])).code).toBe(0);
    const out = join(folder, 'stopped');
    const run = start(['train', long, '--out', out]);
    await run.said(/^train +\d+%/m);
    run.child.kill('SIGINT');
    const { code, stderr } = await run.ended;
    expect(code).toBe(130);
    expect(stderr).toContain(`--out ${out} --resume`);
    expect((await cli(['train', long, '--out', out, '--resume', '--quiet'])).code).toBe(0);
    for (const path of ['metrics.jsonl', 'adapter/adapter_model.safetensors']) {
      expect(text('stopped', path)).toBe(text('long', path));
    }
  });

  it('rule 1: a full disk while checkpointing is exit 1 and leaves no half checkpoint', async () => {
    const out = join(folder, 'full');
    // A limit of the file size fails writes as a full disk does, and needs no special rights.
    const entry = fileURLToPath(new URL('../src/cli.ts', import.meta.url));
    const command = `ulimit -f 8; exec "$@"`;
    const node = [process.execPath, '--import', 'tsx', '--conditions=@unimoer/source', entry];
    const limited = spawnSync(
      'bash',
      ['-c', command, 'bash', ...node, 'train', file, '--out', out],
      {
        encoding: 'utf8',
        cwd: fileURLToPath(new URL('..', import.meta.url)),
        env: { ...process.env, TSX_DISABLE_CACHE: '1' },
      },
    );
    expect(limited.status).toBe(1);
    expect(limited.stdout).toBe('');
    expect(limited.stderr.split('\n').filter((line) => line.startsWith('error: '))).toHaveLength(1);
    const checkpoints = join(out, 'checkpoints');
    const left = existsSync(checkpoints) ? readdirSync(checkpoints) : [];
    expect(left).toEqual([]);
    expect((await cli(['train', file, '--out', out, '--resume', '--quiet'])).code).toBe(0);
    expect(text('full', 'metrics.jsonl')).toBe(text('whole', 'metrics.jsonl'));
  });

  it('a corrupt checkpoint is an error that names it', async () => {
    const out = join(folder, 'corrupt');
    mkdirSync(out);
    expect((await cli(['train', file, '--out', join(out, 'run'), '--quiet'])).code).toBe(0);
    const checkpoint = join(out, 'run/checkpoints/step-000008/parameters.safetensors');
    writeFileSync(checkpoint, readFileSync(checkpoint).subarray(0, 100));
    const result = await cli(['train', file, '--out', join(out, 'run'), '--resume']);
    expect([1, 2]).toContain(result.code);
    expect(result.stderr).toContain('parameters.safetensors');
  });
});

describe('the process', () => {
  const shell = (command: string) =>
    spawnSync('bash', ['-c', command], {
      encoding: 'utf8',
      cwd: fileURLToPath(new URL('..', import.meta.url)),
    });
  const unimoer = `'${process.execPath}' --import tsx --conditions=@unimoer/source src/cli.ts`;

  it('rule 15: a closed stdout ends quietly with 0', () => {
    const result = shell(`${unimoer} --help | true; exit \${PIPESTATUS[0]}`);
    expect(result).toMatchObject({ status: 0, stderr: '' });
  });

  it.skipIf(!existsSync('/dev/full'))('rule 15: another failed write to stdout is exit 1', () => {
    const result = shell(`${unimoer} --help > /dev/full`);
    expect(result.status).toBe(1);
    expect(result.stderr).toMatch(/^error: stdout: .*\n$/);
  });
});
