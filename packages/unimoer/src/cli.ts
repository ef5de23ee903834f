import { runProcess } from './lib/process.js';

await runProcess(process.argv.slice(2));
