import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { memory } from '@unimoer/core';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  type ArmName,
  attachTrained,
  type TrainConfig,
  type TrainDeps,
  type TrainProgress,
  trainRun,
} from '../src/index';
import { fastBackend, tinyModel, toyConfig, toyData, toyDeps } from './toy';

const model = tinyModel();
afterAll(() => model.dispose());

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'unimoer-train-'));
});
afterEach(() => rmSync(dir, { recursive: true }));

const pairs = [...toyData().queries.values()].slice(0, 4).map((query) => [query, 'a b c'] as const);

async function finish(config: TrainConfig, extra: Partial<TrainDeps>) {
  const { summary, model: learned, status } = await trainRun(config, toyDeps(model, extra));
  expect(status).toBe('finished');
  const vectors = await learned!.encodeTexts(['a b c d', 'e g h'], 'query', { maxLength: 16 });
  const scores = learned!.canScore ? await learned!.scorePairs(pairs, { maxLength: 24 }) : null;
  learned!.dispose();
  return { summary, vectors, scores };
}

/** Runs until `steps` steps are done, then stops as SIGINT would make it. */
async function interrupt(config: TrainConfig, outDir: string, steps: number): Promise<void> {
  const stop = new AbortController();
  const { status, model: learned } = await trainRun(
    config,
    toyDeps(model, {
      outDir,
      signal: stop.signal,
      onProgress: (event) => {
        if (event.type === 'step' && event.metrics.step + 1 === steps) stop.abort();
      },
    }),
  );
  expect(status).toBe('interrupted');
  expect(learned).toBeNull();
  expect(model.backbone.linears().every((linear) => linear.adapter === null)).toBe(true);
}

describe('resume', () => {
  it.each<[ArmName, TrainConfig['schedule']]>([
    ['joint', 'mixed'],
    ['moeLora', 'mixed'],
    ['moeLora', 'alternate'],
  ])('%s, %s: a stopped run ends with the bits of an undisturbed one', async (name, schedule) => {
    const config = toyConfig(name, { steps: 9, schedule });
    const whole = await finish(config, { outDir: join(dir, 'whole') });
    const parts = join(dir, 'parts');
    await interrupt(config, parts, 4);
    expect(readdirSync(join(parts, 'checkpoints'))).toEqual(['step-000004']);
    const events: TrainProgress[] = [];
    const resumed = await finish(config, {
      outDir: parts,
      resume: true,
      onProgress: (event) => events.push(event),
    });
    expect(events[0]).toEqual({ type: 'start', step: 4, steps: 9, resumed: true });
    expect(resumed).toEqual(whole);
    expect(readFileSync(join(parts, 'metrics.jsonl'), 'utf8')).toBe(
      readFileSync(join(dir, 'whole', 'metrics.jsonl'), 'utf8'),
    );
  });

  it('drops what was written after the newest checkpoint, as a kill leaves it', async () => {
    const config = toyConfig('joint', { steps: 6, checkpointEvery: 2 });
    const whole = await finish(config, { outDir: join(dir, 'whole') });
    const killed = join(dir, 'killed');
    await interrupt(config, killed, 4);
    const log = join(killed, 'metrics.jsonl');
    writeFileSync(log, `${readFileSync(log, 'utf8')}{"step":4,"embeddingLoss":9}\n{"step":5,"embe`);
    const stale = join(killed, 'checkpoints', '.step-000006.tmp-1');
    mkdirSync(stale);
    const resumed = await finish(config, { outDir: killed, resume: true });
    expect(resumed).toEqual(whole);
    expect(existsSync(stale)).toBe(false);
    expect(readdirSync(join(killed, 'checkpoints'))).toEqual(['step-000006']);
    expect(readFileSync(log, 'utf8')).toBe(
      readFileSync(join(dir, 'whole', 'metrics.jsonl'), 'utf8'),
    );
  });

  it('of a finished run trains nothing', async () => {
    const config = toyConfig('embedOnly', { steps: 3 });
    const first = await finish(config, { outDir: dir });
    const events: TrainProgress[] = [];
    const again = await finish(config, {
      outDir: dir,
      resume: true,
      onProgress: (event) => events.push(event),
    });
    expect(again).toEqual(first);
    expect(events.filter((event) => event.type === 'step')).toHaveLength(0);
  });

  it('without the option starts anew', async () => {
    const config = toyConfig('embedOnly', { steps: 3 });
    const first = await finish(config, { outDir: dir });
    expect(await finish(config, { outDir: dir })).toEqual(first);
    expect(readFileSync(join(dir, 'metrics.jsonl'), 'utf8').trim().split('\n')).toHaveLength(3);
  });

  it('refuses the checkpoint of another configuration', async () => {
    await finish(toyConfig('embedOnly', { steps: 3 }), { outDir: dir });
    const { liveBytes } = memory(fastBackend());
    const other = trainRun(
      toyConfig('embedOnly', { steps: 3, seed: 5 }),
      toyDeps(model, { outDir: dir, resume: true }),
    );
    await expect(other).rejects.toThrow(/step-000003: got a checkpoint of another configuration/);
    expect(memory(fastBackend()).liveBytes).toBe(liveBytes);
    expect(model.backbone.linears().every((linear) => linear.adapter === null)).toBe(true);
  });

  it('refuses the checkpoint of other data', async () => {
    const config = toyConfig('embedOnly', { steps: 3 });
    await finish(config, { outDir: dir });
    const data = toyData();
    const changed = { ...data, queries: new Map([...data.queries, ['q0', 'another text']]) };
    await expect(
      trainRun(config, toyDeps(model, { outDir: dir, resume: true, data: changed })),
    ).rejects.toThrow(/another configuration, model or data/);
  });

  it('names a checkpoint that is damaged', async () => {
    const config = toyConfig('embedOnly', { steps: 3 });
    await finish(config, { outDir: dir });
    const state = join(dir, 'checkpoints', 'step-000003', 'state.json');
    writeFileSync(state, readFileSync(state, 'utf8').slice(0, 40));
    await expect(
      trainRun(config, toyDeps(model, { outDir: dir, resume: true })),
    ).rejects.toMatchObject({ code: 'FORMAT', file: state });
    rmSync(join(dir, 'metrics.jsonl'));
  });
});

describe.skipIf(!existsSync('/dev/full'))('a full disk', () => {
  it('is a typed error while logging; the backbone is bare again', async () => {
    symlinkSync('/dev/full', join(dir, 'metrics.jsonl'));
    const run = trainRun(toyConfig('embedOnly', { steps: 2 }), toyDeps(model, { outDir: dir }));
    await expect(run).rejects.toMatchObject({ code: 'FILE', got: 'a full disk' });
    expect(model.backbone.linears().every((linear) => linear.adapter === null)).toBe(true);
  });

  it('or a file in the way of checkpoints leaves the older checkpoint', async () => {
    const config = toyConfig('embedOnly', { steps: 4, checkpointEvery: 2 });
    const onProgress = (event: TrainProgress): void => {
      if (event.type === 'checkpoint') {
        renameSync(join(dir, 'checkpoints'), join(dir, 'kept'));
        writeFileSync(join(dir, 'checkpoints'), 'in the way');
      }
    };
    const run = trainRun(config, toyDeps(model, { outDir: dir, onProgress }));
    await expect(run).rejects.toMatchObject({ code: 'FILE' });
    expect(readdirSync(join(dir, 'kept'))).toEqual(['step-000002']);
  });
});

describe('a saved arm', () => {
  it.each<ArmName>(['joint', 'moeLora', 'headOnly'])(
    '%s computes the same on a loaded model',
    async (name) => {
      const config = toyConfig(name, { steps: 4 });
      const { model: learned } = await trainRun(config, toyDeps(model));
      const expected = await learned!.scorePairs(pairs, { maxLength: 24 });
      learned!.save(dir);
      learned!.dispose();
      const attached = attachTrained(model, dir);
      expect(attached).toMatchObject({ adapter: name !== 'headOnly', head: true });
      const { scores } = await model.score(pairs, { maxLength: 24, raw: true });
      expect(scores).toEqual(expected);
      attached.detach();
      await expect(model.score(pairs)).rejects.toThrow();
    },
  );

  it('is refused when the folder is empty', () => {
    expect(() => attachTrained(model, dir)).toThrow(/without adapter and reranking head/);
  });
});
