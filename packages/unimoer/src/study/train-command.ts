import { existsSync, mkdirSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import {
  Bm25,
  beirFile,
  judgedQueries,
  loadCorpus,
  loadQrels,
  loadQueries,
} from '@unimoer/eval-beir';
import { type TrainingData, type TrainProgress, trainRun } from '@unimoer/train';
import { stringify } from 'yaml';
import { InputError, InterruptedError } from '../lib/errors.js';
import type { Io } from '../lib/io.js';
import { writeFileAtomic } from '../lib/outputs.js';
import { armOf, trainConfig } from './arms.js';
import { resolveModel } from './load.js';
import { loadBackbone } from './model.js';
import { trainSchema } from './schema.js';
import { shownPath } from './state.js';
import { readYaml, validate } from './yaml-file.js';

async function loadTrainingData(
  folder: string,
  split: string,
  depth: number,
  onWarning: (message: string) => void,
): Promise<TrainingData> {
  const corpus = await loadCorpus(folder, { onWarning });
  const path = beirFile(folder, join('qrels', `${split}.tsv`));
  const all = await loadQrels(folder, split, { documents: corpus.index });
  const queries = judgedQueries(await loadQueries(folder, { onWarning }), all, path, onWarning);
  const qrels = new Map([...all].filter(([query]) => queries.has(query)));
  const found = new Bm25(corpus.ids, corpus.texts).searchAll(queries, depth);
  const candidates = new Map([...found].map(([query, docs]) => [query, docs.map((d) => d.id)]));
  return { corpus, queries, qrels, candidates };
}

/** `unimoer train`: one arm, with metrics, checkpoints and the trained adapter in a folder. */
export async function trainFromFile(
  file: string,
  flags: { out?: string; resume?: boolean },
  io: Io,
): Promise<void> {
  const path = io.path(file);
  const yaml = readYaml(path);
  const raw = yaml.value as { arm?: unknown } | null;
  const config = validate(
    trainSchema,
    typeof raw?.arm === 'string' ? { ...raw, arm: { preset: raw.arm } } : raw,
    yaml,
  );
  const dir = flags.out ? io.path(flags.out) : resolve(io.cwd, 'runs', config.name);
  const shown = shownPath(dir, io.cwd);
  const resumeCommand = `unimoer train ${shownPath(path, io.cwd)} --out ${shown} --resume`;
  const resolvedFile = join(dir, 'config.resolved.yaml');
  if (existsSync(resolvedFile) !== Boolean(flags.resume)) {
    throw new InputError({
      where: shown,
      got: flags.resume ? 'no run to resume' : 'a folder that holds a run',
      expected: flags.resume ? 'a folder that `train` wrote' : 'a new or empty folder',
      remedy: flags.resume ? 'leave --resume out' : `continue with ${resumeCommand}`,
    });
  }
  const arm = armOf(config.arm, config.adapter);
  if (arm.tasks.length === 0) {
    throw new InputError({
      where: `${path}:${yaml.lineOf(['arm'])}`,
      got: 'an arm without training',
      expected: 'embedOnly, rerankOnly, joint or another arm that trains',
      remedy: 'change arm',
    });
  }
  const settings = trainConfig(config.training, arm, config.seed);
  const model = resolveModel(config.model, dirname(path));
  const data = await loadTrainingData(
    resolve(dirname(path), config.data.path),
    config.data.trainSplit,
    config.training.negativeRanks[1],
    (message) => io.warn(message),
  );
  const { backbone, tokenizer, cache } = loadBackbone(model, dirname(path), config.training.dtype);
  mkdirSync(dir, { recursive: true });
  writeFileAtomic(resolvedFile, stringify(config));
  const bar = io.progress({ label: 'train', total: settings.steps });
  let last: (TrainProgress & { type: 'step' }) | null = null;
  const result = await trainRun(settings, {
    backbone,
    tokenizer,
    data,
    cache,
    outDir: dir,
    resume: Boolean(flags.resume),
    signal: io.signal,
    onProgress(event) {
      if (event.type !== 'step') return;
      last = event;
      bar.update(event.metrics.step, losses(event.metrics));
    },
  });
  bar.finish();
  if (result.status === 'interrupted' || !result.model) throw new InterruptedError(resumeCommand);
  result.model.save(join(dir, 'adapter'));
  result.model.dispose();
  const { summary } = result;
  const ending = last as (TrainProgress & { type: 'step' }) | null;
  io.result({ out: shown, ...summary }, () =>
    [
      `${summary.steps} steps, ${summary.tokens} tokens, ${summary.trainableParameters} trainable parameters`,
      ...(ending ? [`last losses: ${losses(ending.metrics)}`] : []),
      `adapter: ${shownPath(join(dir, 'adapter'), io.cwd)}`,
    ].join('\n'),
  );
}

function losses(metrics: { embeddingLoss?: number; rerankingLoss?: number }): string {
  const parts: string[] = [];
  if (metrics.embeddingLoss !== undefined)
    parts.push(`embedding ${metrics.embeddingLoss.toFixed(3)}`);
  if (metrics.rerankingLoss !== undefined)
    parts.push(`reranking ${metrics.rerankingLoss.toFixed(3)}`);
  return parts.join(', ');
}
