import {
  compareRuns,
  type Comparison,
  DEFAULT_METRICS,
  type Evaluation,
  evaluate,
  METRIC_NAMES,
  type NamedEvaluation,
  parseMetrics,
  readQrels,
  readRun,
  type ScorePrecision,
} from '@unimoer/eval-beir';
import { Option } from 'commander';
import { collect, integer } from '../lib/options.js';
import { plural } from '../lib/text.js';
import type { Register } from './index.js';

interface Options {
  qrels: string;
  run: string[];
  metrics: string;
  perQuery?: true;
  complete?: true;
  scorePrecision: ScorePrecision;
  seed: number;
}

const examples = `
Examples:
  $ unimoer eval --qrels datasets/scifact/qrels/test.tsv.gz --run bm25.trec
  $ unimoer eval --qrels qrels.txt --run a.trec --run b.trec --metrics ndcg@10,map --json

Metrics: ${METRIC_NAMES}, as trec_eval 9 computes them.
With two or more runs every pair is compared: paired t test, randomisation test, Wilcoxon.`;

/** `unimoer eval`: metrics of run files, with two or more also tests of their differences. */
export const registerEval: Register = (program, io) => {
  program
    .command('eval')
    .description('trec_eval-exact metrics of runs; with two runs also significance')
    .requiredOption('--qrels <file>', 'relevance judgements, TREC or BEIR format')
    .requiredOption('--run <file>', 'a TREC run; repeat it to compare runs', collect)
    .option('--metrics <names>', 'names, comma-separated', DEFAULT_METRICS.join(','))
    .option('--per-query', 'values of every query too')
    .option('--complete', 'average over all judged queries, one without results counting 0')
    .addOption(
      new Option('--score-precision <type>', 'float64 compares scores as trec_eval 10 does')
        .choices(['float32', 'float64'])
        .default('float32'),
    )
    .option('--seed <n>', 'seed of the randomisation test', integer(0), 42)
    .addHelpText('after', examples)
    .action(async (options: Options) => {
      const metrics = parseMetrics(options.metrics.split(','), '--metrics').map(({ key }) => key);
      const qrels = await readQrels(io.path(options.qrels));
      const evaluated: NamedEvaluation[] = [];
      for (const name of options.run) {
        const run = await readRun(io.path(name));
        const evaluation = evaluate(qrels, run, {
          metrics,
          complete: options.complete ?? false,
          precision: options.scorePrecision,
          name,
        });
        warnOfOneSided(name, evaluation, options.complete ?? false, (text) => io.warn(text));
        evaluated.push({ name, evaluation, queries: run });
        io.checkInterrupt();
      }
      const results = evaluated.map(({ evaluation }) => toJson(evaluation, options.perQuery));
      if (evaluated.length === 1) {
        io.result(results[0], () => describe(evaluated, [], options.perQuery));
        return;
      }
      const comparisons = comparePairs(evaluated, options.seed);
      io.result(
        { runs: results.map((result, i) => ({ run: options.run[i], ...result })), comparisons },
        () => describe(evaluated, comparisons, options.perQuery),
      );
    });
};

function comparePairs(runs: readonly NamedEvaluation[], seed: number): Comparison[] {
  return runs.flatMap((a, i) => runs.slice(i + 1).flatMap((b) => compareRuns(a, b, { seed })));
}

function warnOfOneSided(
  name: string,
  { onlyInRun, onlyInQrels }: Evaluation,
  complete: boolean,
  warn: (text: string) => void,
): void {
  if (onlyInRun > 0)
    warn(`${name}: ${plural(onlyInRun, 'query', 'queries')} without judgements left out`);
  if (onlyInQrels > 0) {
    const fate = complete ? 'counted as 0' : 'left out; --complete counts them as 0';
    warn(
      `${name}: ${plural(onlyInQrels, 'judged query', 'judged queries')} without results, ${fate}`,
    );
  }
}

function toJson(evaluation: Evaluation, perQuery?: true) {
  return {
    metrics: evaluation.metrics,
    queries: evaluation.queries,
    ...(perQuery ? { perQuery: Object.fromEntries(evaluation.perQuery) } : {}),
  };
}

function describe(
  runs: readonly NamedEvaluation[],
  comparisons: readonly Comparison[],
  perQuery?: true,
): string {
  const lines: string[] = [];
  for (const { name, evaluation } of runs) {
    if (runs.length > 1) lines.push(name);
    if (perQuery) {
      for (const [query, values] of evaluation.perQuery) {
        for (const [key, value] of Object.entries(values)) lines.push(row(key, query, value));
      }
    }
    lines.push(`${'queries'.padEnd(12)} ${'all'.padEnd(12)} ${evaluation.queries}`);
    for (const [key, value] of Object.entries(evaluation.metrics))
      lines.push(row(key, 'all', value));
  }
  for (const c of comparisons) {
    const interval = c.ci95 ? ` [${c.ci95.map((x) => x.toFixed(4)).join(', ')}]` : '';
    const tests = `t ${p(c.tTest)}, randomisation ${p(c.randomization)}, Wilcoxon ${p(c.wilcoxon)}`;
    lines.push(`${c.metric}: ${c.a} - ${c.b} = ${c.delta.toFixed(4)}${interval}; p: ${tests}`);
  }
  return lines.join('\n');
}

function row(metric: string, query: string, value: number): string {
  return `${metric.padEnd(12)} ${query.padEnd(12)} ${value.toFixed(4)}`;
}

function p(value: number | null): string {
  return value === null ? '-' : value.toPrecision(3);
}
