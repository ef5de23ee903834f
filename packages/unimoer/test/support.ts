import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import type { Register } from '../src/commands/index.js';
import { runCli } from '../src/lib/run-cli.js';

/** A writer that keeps what it is given. */
export class Sink {
  text = '';
  constructor(readonly isTTY = false) {}
  write(text: string): void {
    this.text += text;
  }
}

export interface CliResult {
  code: number;
  stdout: string;
  stderr: string;
}

export interface CliOptions {
  cwd?: string;
  commands?: readonly Register[];
  signal?: AbortSignal;
}

/** Runs a command line in this process. */
export async function cli(argv: string[], options: CliOptions = {}): Promise<CliResult> {
  const stdout = new Sink();
  const stderr = new Sink();
  const code = await runCli(argv, {
    stdout,
    stderr,
    cwd: options.cwd ?? process.cwd(),
    signal: options.signal ?? new AbortController().signal,
    ...(options.commands ? { commands: options.commands } : {}),
  });
  return { code, stdout: stdout.text, stderr: stderr.text };
}

/** A folder that is removed when the test file ends. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'unimoer-test-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}
