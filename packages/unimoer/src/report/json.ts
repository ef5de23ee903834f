import type { ArmComparison } from './compare.js';
import type { RankedComparison, ReportModel } from './model.js';

export const REPORT_SCHEMA_VERSION = 1;

/** The machine-readable report. Only `seconds`, `timing`, `environment` and `createdAt` may differ between equal runs. */
export function reportJson(model: ReportModel): string {
  const { results } = model;
  const document = {
    schemaVersion: REPORT_SCHEMA_VERSION,
    study: results.study,
    profile: results.profile,
    ...(results.createdAt === undefined ? {} : { createdAt: results.createdAt }),
    environment: results.environment,
    exploratory: model.exploratory,
    seeds: results.seeds,
    delta: results.delta,
    arms: orderedCells(model).map((cell) => ({
      arm: cell.arm,
      seed: cell.seed,
      dataset: cell.dataset,
      backbone: cell.backbone,
      embedding: cell.embedding?.metrics ?? {},
      reranking: cell.reranking?.metrics ?? {},
      trainableParameters: cell.trainableParameters,
      tokens: cell.tokens,
      steps: cell.steps,
      flops: cell.flops,
      seconds: cell.seconds,
    })),
    verdicts: model.verdicts.map((v) => ({
      endpoint: v.endpoint,
      dataset: v.dataset,
      backbone: v.backbone,
      verdict: v.verdict,
      theta: v.comparison.theta,
      ci95: v.comparison.ci95,
      p: v.comparison.p,
      pHolm: v.pHolm,
      minimumDetectable: v.comparison.minimumDetectable,
      exploratory: v.exploratory,
      seeds: v.comparison.seeds,
      queries: v.comparison.queries,
      upper95: v.upper95,
      equivalenceP: v.equivalenceP,
      nonInferiorityP: v.nonInferiorityP,
      seedThetas: v.comparison.seedThetas,
      components: v.comparison.components,
      secondary: v.comparison.secondary,
      groups: v.groups.map(effect),
      designsFor80PercentPower: v.designs,
    })),
    values: model.values,
    comparisons: [...model.againstDedicated, ...model.againstRankMatched].map(comparison),
    routing: model.routing,
    baselines: results.baselines.map(({ perQuery: _, ...rest }) => rest),
    datasets: results.datasets.map(({ groups, ...rest }) => ({
      ...rest,
      seenQueries: Object.values(groups).filter((g) => g === 'seen').length,
    })),
    backbones: results.backbones,
    armDescriptions: results.arms,
    cuts: results.cuts,
    warnings: results.warnings,
    config: results.config,
    reproduce: results.reproduce,
    timing: results.timing,
  };
  return `${JSON.stringify(document, null, 2)}\n`;
}

/** Cells in the order of arms, datasets, backbones and seeds, whatever order they finished in. */
function orderedCells({ results }: ReportModel) {
  const rank = (list: readonly string[], name: string) => list.indexOf(name);
  const arms = results.arms.map((a) => a.arm);
  const datasets = results.datasets.map((d) => d.dataset);
  const backbones = results.backbones.map((b) => b.backbone);
  return [...results.cells].sort(
    (a, b) =>
      rank(backbones, a.backbone) - rank(backbones, b.backbone) ||
      rank(datasets, a.dataset) - rank(datasets, b.dataset) ||
      rank(arms, a.arm) - rank(arms, b.arm) ||
      (a.seed ?? -1) - (b.seed ?? -1),
  );
}

function effect(c: ArmComparison) {
  return {
    group: c.group,
    queries: c.queries,
    referenceMean: c.referenceMean,
    armMean: c.armMean,
    theta: c.theta,
    ci95: c.ci95,
    p: c.p,
    minimumDetectable: c.minimumDetectable,
  };
}

function comparison(c: RankedComparison) {
  return {
    endpoint: c.endpoint,
    dataset: c.dataset,
    backbone: c.backbone,
    reference: c.reference,
    arm: c.arm,
    seeds: c.seeds,
    paired: c.paired,
    identical: c.identical,
    ...effect(c),
    q: c.q,
    seedThetas: c.seedThetas,
  };
}
