import { AnalysisError } from './errors.js';

/** Gate mass or assignment counts by [task][expert]; non-negative, every task with some mass. */
export type MassTable = readonly (readonly number[])[];

export interface TaskExpertInformation {
  /** Mutual information of task and expert, nats. */
  readonly mutualInformation: number;
  /** MI / H(T): 0 routing ignores the task, 1 it reveals the task. */
  readonly normalised: number;
  readonly taskEntropy: number;
  readonly expertEntropy: number;
  /** Miller–Madow bias for tables of counts; null for tables of mass. */
  readonly millerMadowBias: number | null;
  readonly corrected: number | null;
}

/** Shannon entropy in nats of weights that need not sum to 1; 0 of nothing. */
export function entropy(weights: readonly number[]): number {
  const total = sum(weights);
  if (total <= 0) return 0;
  let h = 0;
  for (const w of weights) if (w > 0) h -= (w / total) * Math.log(w / total);
  return h;
}

/** Every row scaled to sum 1: gives each task the same weight, whatever its number of texts. */
export function equalTaskWeight(table: MassTable): number[][] {
  checkTable(table);
  return table.map((row) => {
    const total = sum(row);
    return row.map((v) => v / total);
  });
}

/**
 * Mutual information between task and expert. Pass counts with `counts: true` for the Miller–Madow correction
 * (m_TE − m_T − m_E + 1)/(2n) over non-empty cells; rows are used as they are (scale them with `equalTaskWeight` first
 * to weigh tasks equally, which makes MI the Jensen–Shannon divergence).
 */
export function taskExpertInformation(
  table: MassTable,
  { counts = false }: { counts?: boolean } = {},
): TaskExpertInformation {
  checkTable(table);
  const experts = table[0]!.map((_, e) => sum(table.map((row) => row[e]!)));
  const tasks = table.map((row) => sum(row));
  const total = sum(tasks);
  let mi = 0;
  let cells = 0;
  table.forEach((row, t) => {
    row.forEach((v, e) => {
      if (v <= 0) return;
      cells++;
      mi += (v / total) * Math.log((v * total) / (tasks[t]! * experts[e]!));
    });
  });
  const taskEntropy = entropy(tasks);
  const filled = (w: number[]) => w.filter((v) => v > 0).length;
  const bias = counts ? (cells - filled(tasks) - filled(experts) + 1) / (2 * total) : null;
  return {
    mutualInformation: Math.max(0, mi),
    normalised: taskEntropy > 0 ? Math.max(0, mi) / taskEntropy : 0,
    taskEntropy,
    expertEntropy: entropy(experts),
    millerMadowBias: bias,
    corrected: bias === null ? null : mi - bias,
  };
}

/** Jensen–Shannon divergence of two distributions (nats, equal weight; at most ln 2). */
export function jensenShannon(a: readonly number[], b: readonly number[]): number {
  const [p, q] = equalTaskWeight([a, b]) as [number[], number[]];
  const middle = p.map((v, i) => (v + q[i]!) / 2);
  return Math.max(0, entropy(middle) - (entropy(p) + entropy(q)) / 2);
}

/** Total variation distance of two distributions: half the summed absolute difference. */
export function totalVariation(a: readonly number[], b: readonly number[]): number {
  const [p, q] = equalTaskWeight([a, b]) as [number[], number[]];
  return sum(p.map((v, i) => Math.abs(v - q[i]!))) / 2;
}

export interface LoadBalance {
  /** Population coefficient of variation (divisor E). */
  readonly cv: number;
  readonly gini: number;
  /** H / ln E; 1 is uniform. */
  readonly normalisedEntropy: number;
  /** max/mean − 1. */
  readonly maxViolation: number;
}

/** How evenly a load spreads over experts. */
export function loadBalance(load: readonly number[]): LoadBalance {
  checkTable([load]);
  const n = load.length;
  const average = sum(load) / n;
  const variance = sum(load.map((v) => (v - average) ** 2)) / n;
  let spread = 0;
  for (const a of load) for (const b of load) spread += Math.abs(a - b);
  return {
    cv: Math.sqrt(variance) / average,
    gini: spread / (2 * n * n * average),
    normalisedEntropy: n > 1 ? entropy(load) / Math.log(n) : 1,
    maxViolation: Math.max(...load) / average - 1,
  };
}

/** Mean number of gates above `threshold` per gate vector; `gates` is [units, experts] row-major. */
export function meanActiveExperts(
  gates: ArrayLike<number>,
  experts: number,
  threshold = 0,
): number {
  if (experts < 1 || gates.length === 0 || gates.length % experts !== 0) {
    throw new AnalysisError({
      where: 'meanActiveExperts',
      got: `${gates.length} gates for ${experts} experts`,
      expected: 'a whole number of gate vectors, at least one',
      remedy: 'pass [units, experts] row-major',
    });
  }
  let active = 0;
  for (let i = 0; i < gates.length; i++) if (gates[i]! > threshold) active++;
  return active / (gates.length / experts);
}

export interface LayerRouting {
  readonly layer: number;
  /** Normalised gate mass by [task][expert]. */
  readonly mass: number[][];
  readonly information: TaskExpertInformation;
  readonly jensenShannon: number;
  readonly totalVariation: number;
  /** Entropy of each task's routing, nats. */
  readonly taskRoutingEntropy: number[];
  readonly balance: LoadBalance;
}

/** One layer's routing summary from gate mass of two tasks; tasks weigh the same. */
export function summariseLayer(layer: number, mass: MassTable): LayerRouting {
  const normal = equalTaskWeight(mass);
  if (normal.length !== 2) {
    throw new AnalysisError({
      where: `routing of layer ${layer}`,
      got: `${normal.length} task(s)`,
      expected: '2',
      remedy: 'pass embedding and reranking mass',
    });
  }
  return {
    layer,
    mass: normal,
    information: taskExpertInformation(normal),
    jensenShannon: jensenShannon(normal[0]!, normal[1]!),
    totalVariation: totalVariation(normal[0]!, normal[1]!),
    taskRoutingEntropy: normal.map(entropy),
    balance: loadBalance(normal[0]!.map((v, e) => v + normal[1]![e]!)),
  };
}

function checkTable(table: MassTable): void {
  const width = table[0]?.length ?? 0;
  table.forEach((row, t) => {
    const bad = row.findIndex((v) => !(v >= 0 && Number.isFinite(v)));
    if (row.length !== width || width === 0 || bad >= 0 || sum(row) <= 0) {
      throw new AnalysisError({
        where: `mass table, row ${t}`,
        got: `[${row.join(', ')}]`,
        expected: `${width} finite non-negative numbers, not all 0`,
        remedy: 'leave out tasks that were never routed',
      });
    }
  });
}

function sum(values: readonly number[]): number {
  let s = 0;
  for (const v of values) s += v;
  return s;
}
