import { setThreads } from '@unimoer/core';
import { studyArms } from './arms.js';
import { type LoadedBackbone, runCell } from './cell.js';
import { loadBackbone } from './model.js';
import { type PreparedDataset, prepareDataset } from './prepare.js';
import { type Cell, cacheFolder, readState, writeCell } from './state.js';

/** Computes cells of a study folder; data, weights and cached states stay between cells. */
export interface Workshop {
  run(
    cell: Cell,
    signal: AbortSignal,
    onProgress: (share: number, detail: string) => void,
  ): Promise<void>;
}

/** @param threads threads of the native engine; 0 leaves its own choice */
export function createWorkshop(dir: string, threads: number): Workshop {
  const state = readState(dir);
  const arms = studyArms(state.config, dir);
  const datasets = new Map<string, Promise<PreparedDataset>>();
  const backbones = new Map<string, LoadedBackbone>();
  if (threads > 0) setThreads(threads);

  const dataset = (name: string): Promise<PreparedDataset> => {
    let found = datasets.get(name);
    if (!found) {
      const config = state.config.datasets.find((candidate) => candidate.name === name)!;
      found = prepareDataset(state.config, config, state.datasetPaths[name]!, cacheFolder(dir));
      datasets.set(name, found);
    }
    return found;
  };
  const backbone = (name: string): LoadedBackbone => {
    let found = backbones.get(name);
    if (!found) {
      found = loadBackbone(state.models[name]!, state.folder, state.config.training.dtype);
      backbones.set(name, found);
    }
    return found;
  };

  return {
    async run(cell, signal, onProgress) {
      onProgress(0, 'loading');
      const arm = arms.find(({ info }) => info.arm === cell.arm)!;
      const record = await runCell(cell, {
        dir,
        config: state.config,
        arm,
        data: await dataset(cell.dataset),
        model: backbone(cell.backbone),
        signal,
        onProgress,
      });
      writeCell(dir, cell, record);
    },
  };
}
