export { InputError, InterruptedError, OutputError } from './lib/errors.js';
export { Io, type IoOptions } from './lib/io.js';
export { runCli } from './lib/run-cli.js';
