import { studyArms, trainConfig } from './arms.js';
import { hashOf } from './canonical.js';
import type { StudyConfig } from './schema.js';
import type { Cell } from './state.js';

/** What a cell's result depends on beside the study's settings. */
export interface PlanInputs {
  /** Hash of the data by dataset name. */
  data: Record<string, string>;
  /** Hash of the weights by backbone name. */
  weights: Record<string, string>;
  codeVersion: string;
  /** Name of the backend and its instruction set, which decide the last bits. */
  engine: string;
}

/**
 * The cells of a study, each once: arms without training have one for all seeds, composed arms none.
 * The address covers everything that the result depends on, and no label.
 */
export function planCells(config: StudyConfig, inputs: PlanInputs, file: string): Cell[] {
  const cells: Cell[] = [];
  for (const backbone of config.backbones) {
    for (const dataset of config.datasets) {
      // Seeds outside: an interrupted study has whole seeds, and a reader sees every arm early.
      for (const [i, seed] of config.seeds.entries()) {
        for (const arm of studyArms(config, file)) {
          if (arm.composedOf || (arm.tasks.length === 0 && i > 0)) continue;
          const cellSeed = arm.tasks.length === 0 ? null : seed;
          const { arm: trained, ...settings } = trainConfig(config.training, arm, cellSeed ?? 0);
          cells.push({
            key: hashOf({
              training: settings,
              tasks: trained.tasks,
              adapter: trained.adapter,
              dtype: config.training.dtype,
              evaluation: config.evaluation,
              leakFree: dataset.leakFree,
              data: inputs.data[dataset.name],
              weights: inputs.weights[backbone.name],
              code: inputs.codeVersion,
              engine: inputs.engine,
            }),
            arm: arm.info.arm,
            seed: cellSeed,
            dataset: dataset.name,
            backbone: backbone.name,
          });
        }
      }
    }
  }
  return cells;
}
