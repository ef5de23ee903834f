import { mkdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, resolve } from 'node:path';
import { InputError, InterruptedError } from '../lib/errors.js';
import type { Io } from '../lib/io.js';
import { formatDuration } from '../lib/progress.js';
import { writeReport } from '../report/index.js';
import { codeVersion } from './canonical.js';
import { engineName } from './environment.js';
import { cellFlops } from './estimate.js';
import { type LoadedStudy, loadStudy } from './load.js';
import { acquireLock } from './lock.js';
import { readFacts } from './model.js';
import { planCells } from './plan.js';
import { datasetHash, type PreparedDataset, prepareDataset } from './prepare.js';
import { assembleResults } from './results.js';
import { runPool } from './pool.js';
import {
  type Cell,
  cacheFolder,
  hasState,
  readCell,
  readState,
  type StudyState,
  shownPath,
  writeState,
} from './state.js';

export interface RunOptions {
  out?: string;
  profile?: string;
  jobs: number;
}

const resumeCommand = (dir: string, io: Io): string =>
  `unimoer study resume ${shownPath(dir, io.cwd)}`;

function now(): number {
  return performance.now() / 1000;
}

/** The state of a study that begins now; checks data, models and arms on the way. */
export function newState(study: LoadedStudy, file: string): StudyState {
  const { config } = study;
  const { dtype } = config.training;
  const backbones = Object.fromEntries(
    config.backbones.map(({ name }) => [name, readFacts(study.models[name]!, study.folder, dtype)]),
  );
  const code = codeVersion();
  const cells = planCells(
    config,
    {
      data: Object.fromEntries(
        config.datasets.map((d) => [d.name, datasetHash(d, study.datasetPaths[d.name]!)]),
      ),
      weights: Object.fromEntries(Object.entries(backbones).map(([name, f]) => [name, f.hash])),
      codeVersion: code,
      engine: engineName(),
    },
    file,
  );
  return {
    schemaVersion: 1,
    status: 'running',
    profile: study.profile,
    config,
    cuts: study.cuts,
    datasetPaths: study.datasetPaths,
    models: study.models,
    folder: study.folder,
    codeVersion: code,
    backbones,
    createdAt: new Date().toISOString(),
    cells,
    seconds: {},
    warnings: Object.values(backbones).flatMap((facts) => facts.warnings),
  };
}

/** `study run`: a new folder with state, then the work. */
export async function runStudy(file: string, options: RunOptions, io: Io): Promise<void> {
  const path = io.path(file);
  const study = loadStudy(path, options.profile);
  const dir = options.out ? io.path(options.out) : resolve(io.cwd, 'runs', study.config.name);
  refuseState(dir, io);
  const state = newState(study, path);
  mkdirSync(dir, { recursive: true });
  const release = acquireLock(dir);
  try {
    refuseState(dir, io);
    writeState(dir, state);
    await work(dir, state, options.jobs, io);
  } finally {
    release();
  }
}

function refuseState(dir: string, io: Io): void {
  if (!hasState(dir)) return;
  throw new InputError({
    where: shownPath(dir, io.cwd),
    got: 'a folder that holds the state of a study',
    expected: 'a new or empty folder',
    remedy: `continue with ${resumeCommand(dir, io)}, or choose another --out`,
  });
}

/** `study resume`: what has not finished yet; nothing for a finished study. */
export async function resumeStudy(folder: string, jobs: number, io: Io): Promise<void> {
  const dir = io.path(folder);
  if (readState(dir).status === 'finished') {
    io.note('this study has finished; there is nothing to resume');
    announce(dir, 0, io);
    return;
  }
  const release = acquireLock(dir);
  try {
    const state = readState(dir);
    if (state.codeVersion !== codeVersion()) {
      const warning =
        'the code changed since this study began; cells that had finished were kept as they are';
      io.warn(warning);
      if (!state.warnings.includes(warning)) state.warnings.push(warning);
    }
    await work(dir, state, jobs, io);
  } finally {
    release();
  }
}

/** `study report`: writes the report anew from what has finished. */
export async function reportStudy(folder: string, io: Io): Promise<void> {
  const dir = io.path(folder);
  const state = readState(dir);
  const datasets = await prepareAll(dir, state);
  const missing = await renew(dir, state, datasets);
  announce(dir, missing, io);
}

function prepareAll(dir: string, state: StudyState): Promise<PreparedDataset[]> {
  return Promise.all(
    state.config.datasets.map((dataset) =>
      prepareDataset(state.config, dataset, state.datasetPaths[dataset.name]!, cacheFolder(dir)),
    ),
  );
}

async function renew(dir: string, state: StudyState, datasets: PreparedDataset[]): Promise<number> {
  const { results, missing } = assembleResults(dir, state, datasets);
  await writeReport(results, join(dir, 'report'));
  return missing;
}

function announce(dir: string, missing: number, io: Io): void {
  const report = shownPath(join(dir, 'report'), io.cwd);
  const partly = missing > 0 ? `${missing} cells have not finished\n` : '';
  io.result({ report, missing }, `${partly}report: ${report}`);
}

async function work(dir: string, state: StudyState, jobs: number, io: Io): Promise<void> {
  const spend = (stage: string, since: number): void => {
    state.seconds[stage] = (state.seconds[stage] ?? 0) + (now() - since);
  };
  let start = now();
  io.note(`preparing ${state.config.datasets.map((d) => d.label ?? d.name).join(', ')}`);
  const datasets = await prepareAll(dir, state);
  for (const warning of datasets.flatMap((data) => data.warnings)) io.warn(warning);
  spend('prepare', start);

  const open = state.cells.filter((cell) => readCell(dir, cell) === null);
  if (open.length > 0) {
    start = now();
    try {
      await runCells(dir, state, open, datasets, jobs, io);
    } catch (error) {
      spend('cells', start);
      writeState(dir, state);
      if (error instanceof InterruptedError) throw new InterruptedError(resumeCommand(dir, io));
      throw error;
    }
    spend('cells', start);
  }
  start = now();
  await renew(dir, state, datasets);
  spend('report', start);
  state.status = 'finished';
  writeState(dir, state);
  const total = Object.values(state.seconds).reduce((sum, seconds) => sum + seconds, 0);
  const stages = Object.entries(state.seconds).map(([n, s]) => `${n} ${formatDuration(s)}`);
  io.note(`done in ${formatDuration(total)} (${stages.join(', ')})`);
  announce(dir, 0, io);
}

async function runCells(
  dir: string,
  state: StudyState,
  open: Cell[],
  datasets: PreparedDataset[],
  jobs: number,
  io: Io,
): Promise<void> {
  const cost = cellFlops(dir, state, datasets);
  const sum = (cells: Cell[]) =>
    cells.reduce((total, cell) => total + cost.get(cell.key)!.flops, 0);
  const total = sum(state.cells);
  let finished = total - sum(open);
  const count = state.cells.length;
  let done = count - open.length;
  const bar = io.progress({ label: 'study', total, initial: finished });
  const shares = new Map<string, number>();
  const threads = jobs > 1 ? Math.max(1, Math.floor(availableParallelism() / jobs)) : 0;
  const name = (cell: Cell) => `${cell.arm}${cell.seed === null ? '' : ` seed ${cell.seed}`}`;
  try {
    await runPool(open, {
      dir,
      jobs,
      threads,
      signal: io.signal,
      onProgress(cell, share, detail) {
        shares.set(cell.key, share * cost.get(cell.key)!.flops);
        const running = [...shares.values()].reduce((a, b) => a + b, 0);
        bar.update(finished + running, `cell ${done + 1}/${count} ${name(cell)}: ${detail}`);
      },
      onDone(cell, seconds) {
        shares.delete(cell.key);
        finished += cost.get(cell.key)!.flops;
        done++;
        bar.line(`${String(done).padStart(3)}/${count} ${name(cell)}: ${formatDuration(seconds)}`);
      },
    });
  } finally {
    bar.finish();
  }
}
