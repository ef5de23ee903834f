import { closeSync, existsSync, openSync, readFileSync, truncateSync, writeSync } from 'node:fs';
import { FormatError } from '@unimoer/core';
import { onDisk } from './on-disk';
import type { StepMetrics } from './types';

/** `metrics.jsonl`: one line a step, appended; a resumed run drops the lines after its checkpoint. */
export class MetricsLog {
  private descriptor: number | null = null;

  constructor(private readonly path: string) {}

  /** Keeps the lines of steps below `step`, drops the rest, and returns what it kept. */
  rewind(step: number): StepMetrics[] {
    return onDisk(this.path, () => this.cutAndOpen(step));
  }

  append(metrics: StepMetrics): void {
    onDisk(this.path, () => writeSync(this.descriptor!, `${JSON.stringify(metrics)}\n`));
  }

  close(): void {
    if (this.descriptor !== null) closeSync(this.descriptor);
    this.descriptor = null;
  }

  private cutAndOpen(step: number): StepMetrics[] {
    this.close();
    if (step === 0) {
      this.descriptor = openSync(this.path, 'w');
      return [];
    }
    const kept: StepMetrics[] = [];
    let bytes = 0;
    if (existsSync(this.path)) {
      for (const line of readFileSync(this.path, 'utf8').split('\n')) {
        if (kept.length === step) break;
        kept.push(this.parse(line, kept.length));
        bytes += Buffer.byteLength(line) + 1;
      }
      truncateSync(this.path, bytes);
    }
    if (kept.length < step) {
      throw new FormatError(
        this.path,
        `got ${kept.length} lines, expected the ${step} steps of the checkpoint; start the run anew`,
      );
    }
    this.descriptor = openSync(this.path, 'a');
    return kept;
  }

  private parse(line: string, step: number): StepMetrics {
    try {
      const metrics = JSON.parse(line) as StepMetrics;
      if (metrics.step === step) return metrics;
    } catch {
      // Reported below together with lines of the wrong step.
    }
    throw new FormatError(
      this.path,
      `line ${step + 1} is not the record of step ${step}; start the run anew`,
    );
  }
}
