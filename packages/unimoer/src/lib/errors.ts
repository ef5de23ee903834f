/** The four parts every message about bad input has. */
export interface InputProblem {
  /** FILE, FILE:LINE or the option or field that is wrong. */
  readonly where: string;
  readonly got: string;
  readonly expected: string;
  readonly remedy: string;
}

/** Bad input or wrong usage: the process ends with 2. */
export class InputError extends Error {
  readonly code = 'INPUT';
  constructor(readonly problem: InputProblem) {
    super(`${problem.where}: got ${problem.got}, expected ${problem.expected}; ${problem.remedy}`);
    this.name = 'InputError';
  }
}

/** A result could not be written (disk full, not writable): the process ends with 1. */
export class OutputError extends Error {
  readonly code = 'OUTPUT';
  constructor(
    readonly path: string,
    cause: unknown,
  ) {
    super(`${path}: cannot be written (${reason(cause)}); free space or choose another place`, {
      cause,
    });
    this.name = 'OutputError';
  }
}

/** Work stopped by a signal with its state kept: the process ends with 130. */
export class InterruptedError extends Error {
  readonly code = 'INTERRUPTED';
  /** @param resume what the user types to go on; empty when nothing was kept */
  constructor(readonly resume = '') {
    super(resume ? `interrupted; state is kept, go on with: ${resume}` : 'interrupted');
    this.name = 'InterruptedError';
  }
}

const errnoText: Record<string, string> = {
  ENOENT: 'no such file or folder',
  ENOTDIR: 'a part of the path is not a folder',
  EISDIR: 'it is a folder',
  EACCES: 'permission denied',
  EPERM: 'operation not permitted',
  EROFS: 'read-only file system',
  ENOSPC: 'no space left on the device',
  EDQUOT: 'disk quota exceeded',
  EMFILE: 'too many open files',
};

/** Why a system call failed, in words. */
export function reason(error: unknown): string {
  const code = errorCode(error);
  return errnoText[code] ?? (error instanceof Error ? error.message : String(error));
}

function errorCode(error: unknown): string {
  if (typeof error !== 'object' || error === null || !('code' in error)) return '';
  return typeof error.code === 'string' ? error.code : '';
}

const readFailures = new Set(['ENOENT', 'ENOTDIR', 'EISDIR', 'EACCES']);

/** Exit code of a failure: 2 for what the user must change, 130 for an interruption, else 1. */
export function exitCodeOf(error: unknown): 1 | 2 | 130 {
  const code = errorCode(error);
  const aborted = error instanceof Error && error.name === 'AbortError';
  if (code === 'INTERRUPTED' || aborted) return 130;
  if (code === 'INPUT' || code === 'FORMAT') return 2;
  // Outputs are wrapped in OutputError, so a bare system error is a named file that cannot be read.
  if (readFailures.has(code)) return 2;
  return 1;
}

/** The one line that a failure prints, without the leading `error: `. */
export function describeError(error: unknown): string {
  const code = errorCode(error);
  let text: string;
  if (code in errnoText && error instanceof Error && 'path' in error) {
    text = `${String(error.path)}: ${errnoText[code]}; check the path`;
  } else {
    text = error instanceof Error ? error.message || error.name : String(error);
  }
  return text.replace(/\s*\n\s*/g, ' ').trim();
}
