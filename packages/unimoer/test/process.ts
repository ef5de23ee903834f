import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const entry = fileURLToPath(new URL('../src/cli.ts', import.meta.url));

export interface Started {
  child: ChildProcess;
  /** Resolves when stderr has matched, or rejects when the process ends before. */
  said(pattern: RegExp): Promise<void>;
  ended: Promise<{ code: number | null; signal: string | null; stdout: string; stderr: string }>;
}

/** Starts the command line from its sources, as a process of its own. */
export function start(argv: string[], options: { cwd?: string; env?: object } = {}): Started {
  const child = spawn(
    process.execPath,
    ['--import', 'tsx', '--conditions=@unimoer/source', entry, ...argv],
    // tsx is found from the repository, wherever the command runs.
    {
      cwd: options.cwd ?? fileURLToPath(new URL('..', import.meta.url)),
      env: { ...process.env, ...options.env },
    },
  );
  let stdout = '';
  let stderr = '';
  const waiting: { pattern: RegExp; resolve: () => void; reject: (error: Error) => void }[] = [];
  const check = (): void => {
    for (const waiter of [...waiting]) {
      if (!waiter.pattern.test(stderr)) continue;
      waiting.splice(waiting.indexOf(waiter), 1);
      waiter.resolve();
    }
  };
  child.stdout.setEncoding('utf8').on('data', (text) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text) => {
    stderr += text;
    check();
  });
  const ended: Started['ended'] = new Promise((resolve) => {
    child.on('close', (code, signal) => {
      for (const waiter of waiting.splice(0)) waiter.reject(new Error(`it ended: ${stderr}`));
      resolve({ code, signal, stdout, stderr });
    });
  });
  return {
    child,
    ended,
    said: (pattern) =>
      new Promise((resolve, reject) => {
        waiting.push({ pattern, resolve, reject });
        check();
      }),
  };
}

/** Ids of the processes whose parent is `pid`. */
export async function childrenOf(pid: number): Promise<number[]> {
  const { readFile } = await import('node:fs/promises');
  const text = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '');
  return text.split(' ').filter(Boolean).map(Number);
}

export function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** Polls until `condition` holds; false when `milliseconds` have passed. */
export async function within(milliseconds: number, condition: () => boolean): Promise<boolean> {
  const end = Date.now() + milliseconds;
  while (!condition()) {
    if (Date.now() > end) return false;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return true;
}
