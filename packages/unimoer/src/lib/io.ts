import { isAbsolute, resolve } from 'node:path';
import { InterruptedError } from './errors.js';
import {
  createProgress,
  type Progress,
  type ProgressOptions,
  silentProgress,
  type Writer,
} from './progress.js';

export interface IoOptions {
  stdout: Writer;
  stderr: Writer;
  /** Folder that relative paths of the command line start from. */
  cwd: string;
  signal: AbortSignal;
}

/** Everything a command may say or ask of its surroundings. Results to stdout, the rest to stderr. */
export class Io {
  readonly stdout: Writer;
  readonly stderr: Writer;
  readonly cwd: string;
  /** Aborted by SIGINT and SIGTERM. */
  readonly signal: AbortSignal;
  json = false;
  quiet = false;
  debug = false;
  /** What `--json` prints once the command has succeeded. */
  private document: { value: unknown } | null = null;
  private text: string[] = [];

  constructor(options: IoOptions) {
    this.stdout = options.stdout;
    this.stderr = options.stderr;
    this.cwd = options.cwd;
    this.signal = options.signal;
  }

  /** A path from the command line, made absolute. */
  path(path: string): string {
    return isAbsolute(path) ? path : resolve(this.cwd, path);
  }

  /** The command's result: `text` for people, `value` as the only document under `--json`. */
  result(value: unknown, text: string | (() => string)): void {
    if (this.json) this.document = { value };
    else this.text.push(typeof text === 'string' ? text : text());
  }

  /** A line on stdout at once, for long listings; nothing under `--json`. */
  print(line: string): void {
    if (!this.json) this.stdout.write(`${line}\n`);
  }

  /** A line of progress on stderr, silenced by `--quiet`. */
  note(line: string): void {
    if (!this.quiet) this.stderr.write(`${line}\n`);
  }

  /** A warning on stderr, which `--quiet` keeps. */
  warn(message: string): void {
    this.stderr.write(`warning: ${message}\n`);
  }

  progress(options: ProgressOptions): Progress {
    return this.quiet ? silentProgress : createProgress(this.stderr, options);
  }

  /** Throws InterruptedError once a signal came; `resume` is the command that goes on. */
  checkInterrupt(resume = ''): void {
    if (this.signal.aborted) throw new InterruptedError(resume);
  }

  /** Writes what `result` kept; called once, when the command has succeeded. */
  flush(): void {
    if (this.document) this.stdout.write(`${JSON.stringify(this.document.value, null, 2)}\n`);
    for (const text of this.text) this.stdout.write(text.endsWith('\n') ? text : `${text}\n`);
  }
}
