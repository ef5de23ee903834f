/** Where text goes: a stream, or a buffer in tests. */
export interface Writer {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
}

export interface Progress {
  /** Reports `done` of the total, in the total's unit; `detail` says what is being done. */
  update(done: number, detail?: string): void;
  /** Prints a line that stays, above the bar. */
  line(text: string): void;
  /** Ends the bar; `summary` stays as a line. */
  finish(summary?: string): void;
}

export interface ProgressOptions {
  label: string;
  total: number;
  /** Share of the total that is done before this process begins (resume); it says nothing on speed. */
  initial?: number;
}

/** `75` -> `1m15s`. */
export function formatDuration(seconds: number): string {
  if (!Number.isFinite(seconds)) return '?';
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s}s`;
  if (s < 3600) return `${Math.floor(s / 60)}m${String(s % 60).padStart(2, '0')}s`;
  return `${Math.floor(s / 3600)}h${String(Math.floor((s % 3600) / 60)).padStart(2, '0')}m`;
}

const ttyInterval = 100;
const plainInterval = 10_000;

/** A bar with ETA on a terminal; elsewhere a plain line at most every ten seconds. */
export function createProgress(
  out: Writer,
  options: ProgressOptions,
  now: () => number = Date.now,
): Progress {
  const start = now();
  const initial = options.initial ?? 0;
  const tty = out.isTTY === true;
  let lastDraw = Number.NEGATIVE_INFINITY;
  let ended = false;

  const render = (done: number, detail: string): string => {
    const share = options.total > 0 ? Math.min(1, done / options.total) : 1;
    const elapsed = (now() - start) / 1000;
    const fresh = done - initial;
    const eta = fresh > 0 ? (elapsed * (options.total - done)) / fresh : Number.NaN;
    const percent = `${String(Math.floor(share * 100)).padStart(3)}%`;
    const time = Number.isFinite(eta) ? ` ETA ${formatDuration(eta)}` : '';
    if (!tty) return `${options.label} ${percent}${time}${detail ? ` (${detail})` : ''}`;
    const filled = Math.round(share * 24);
    const bar = `${'█'.repeat(filled)}${'░'.repeat(24 - filled)}`;
    const line = `${options.label} ${bar} ${percent}${time} ${detail}`;
    return line.slice(0, Math.max(20, (out.columns ?? 100) - 1));
  };

  return {
    update(done, detail = '') {
      if (ended || now() - lastDraw < (tty ? ttyInterval : plainInterval)) return;
      lastDraw = now();
      out.write(tty ? `\r\u001b[2K${render(done, detail)}` : `${render(done, detail)}\n`);
    },
    line(text) {
      out.write(tty ? `\r\u001b[2K${text}\n` : `${text}\n`);
      if (tty) lastDraw = Number.NEGATIVE_INFINITY;
    },
    finish(summary) {
      if (ended) return;
      ended = true;
      if (tty) out.write('\r\u001b[2K');
      if (summary) out.write(`${summary}\n`);
    },
  };
}

/** Used with `--quiet`. */
export const silentProgress: Progress = { update() {}, line() {}, finish() {} };
