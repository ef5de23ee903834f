import type { Command } from 'commander';
import type { Io } from '../lib/io.js';
import { registerDoctor } from './doctor.js';
import { registerEncode } from './encode.js';
import { registerEval } from './eval.js';
import { registerRerank } from './rerank.js';
import { registerSearch } from './search.js';
import { register as study } from './study.js';
import { register as train } from './train.js';

/** Adds one command to the program. Heavy modules are imported inside the command's action. */
export type Register = (program: Command, io: Io) => void;

/** Every command, in the order of `--help`. */
export const commands: readonly Register[] = [
  study,
  train,
  registerEncode,
  registerSearch,
  registerRerank,
  registerEval,
  registerDoctor,
];
