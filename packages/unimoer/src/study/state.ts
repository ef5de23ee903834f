import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { InputError } from '../lib/errors.js';
import { writeFileAtomic } from '../lib/outputs.js';
import type { CellResult, ProfileCut } from '../report/types.js';
import type { BackboneFacts } from './model.js';
import type { StudyConfig } from './schema.js';

/** One arm × seed × dataset × backbone to compute; composed arms have no cell of their own. */
export interface Cell {
  /** Address: hash of configuration, data, weights and code. */
  key: string;
  arm: string;
  /** null for an arm without training. */
  seed: number | null;
  dataset: string;
  backbone: string;
}

/** `state.json` of a run folder: what was asked for. Cells keep their own results. */
export interface StudyState {
  schemaVersion: 1;
  status: 'running' | 'finished';
  profile: string;
  config: StudyConfig;
  cuts: ProfileCut[];
  datasetPaths: Record<string, string>;
  models: Record<string, string>;
  /** Folder of the study file, where `npm:` packages are looked up. */
  folder: string;
  codeVersion: string;
  backbones: Record<string, BackboneFacts>;
  createdAt: string;
  cells: Cell[];
  /** Stage names and the seconds spent in them, over all sessions. */
  seconds: Record<string, number>;
  warnings: string[];
}

export const statePath = (dir: string): string => join(dir, 'state.json');

/** Where rankings that the cells share are kept. */
export const cacheFolder = (dir: string): string => join(dir, 'cache');

export function hasState(dir: string): boolean {
  return existsSync(statePath(dir));
}

export function readState(dir: string): StudyState {
  const path = statePath(dir);
  if (!existsSync(path)) {
    throw new InputError({
      where: dir,
      got: 'no state of a study',
      expected: 'a folder that `study run` made',
      remedy: 'start with: unimoer study run FILE.yaml',
    });
  }
  const state: StudyState = JSON.parse(readFileSync(path, 'utf8'));
  if (state.schemaVersion !== 1) {
    throw new InputError({
      where: path,
      got: `schema version ${String(state.schemaVersion)}`,
      expected: '1',
      remedy: 'use the version of unimoer that wrote it, or run the study afresh',
    });
  }
  return state;
}

export function writeState(dir: string, state: StudyState): void {
  mkdirSync(dir, { recursive: true });
  writeFileAtomic(statePath(dir), `${JSON.stringify(state, null, 2)}\n`);
}

/** Folder of a cell: readable, and told apart from older code or settings by its key. */
export function cellFolder(dir: string, cell: Cell): string {
  const seed = cell.seed === null ? '' : `-s${cell.seed}`;
  return join(
    dir,
    'cells',
    `${cell.dataset}-${cell.backbone}-${cell.arm}${seed}-${cell.key.slice(0, 12)}`,
  );
}

/** What a cell leaves behind when it has finished. */
export interface CellRecord {
  result: CellResult;
  warnings: string[];
  peakBytes: number;
}

export function readCell(dir: string, cell: Cell): CellRecord | null {
  const path = join(cellFolder(dir, cell), 'result.json');
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as CellRecord) : null;
}

export function writeCell(dir: string, cell: Cell, record: CellRecord): void {
  writeFileAtomic(join(cellFolder(dir, cell), 'result.json'), `${JSON.stringify(record)}\n`);
}

/** A folder as the user would type it from `cwd`. */
export function shownPath(path: string, cwd: string): string {
  const short = relative(cwd, path);
  return short === '' ? '.' : short.startsWith('..') ? path : short;
}
