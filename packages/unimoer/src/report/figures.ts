import {
  type ArmPoint,
  armsFigure,
  type EffectRow,
  effectFigure,
  type Figure,
  lossesFigure,
  routingMapFigure,
} from '@unimoer/analysis';
import type { ReportModel } from './model.js';
import type { RoutingSummary } from './routing.js';
import { baselineMean, ENDPOINTS, type GroupName } from './scores.js';
import type { BackboneInfo, DatasetInfo, StudyResults } from './types.js';
import {
  ENDPOINT_NAMES,
  exploratoryBanner,
  fewestSeeds,
  intervalWords,
  metricName,
  percent,
  placeName,
  plural,
} from './words.js';

const GROUP_LABELS: Record<GroupName, string> = {
  all: 'all queries',
  seen: 'gold seen in training',
  unseen: 'gold not seen',
};

/** θ with its interval per endpoint × dataset, over all, seen and unseen queries. */
export function effects(model: ReportModel): Figure | null {
  if (model.verdicts.length === 0) return null;
  const rows: EffectRow[] = model.verdicts.flatMap((v) =>
    [v.comparison, ...v.groups].map((c) => ({
      group: `${ENDPOINT_NAMES[v.endpoint]} · ${placeName(model.results, v)}`,
      label: `${GROUP_LABELS[c.group]} (${c.queries})`,
      task: v.endpoint,
      theta: c.theta,
      ci95: c.ci95,
      seeds: c.seedThetas,
      primary: c.group === 'all',
    })),
  );
  const said = model.verdicts.map(
    (v) =>
      `${ENDPOINT_NAMES[v.endpoint]} on ${placeName(model.results, v)}: θ ${percent(v.comparison.theta!)}, interval ${intervalWords(v.comparison.ci95)}`,
  );
  return effectFigure({
    kind: 'effect',
    name: 'effect',
    title: 'Relative drop of joint training against dedicated training',
    alt: `${said.join('; ')}. Right of zero is harm.`,
    caption: `Relative drop θ = (dedicated − joint)/dedicated with its 95 % interval from the crossed seeds × queries model (Satterthwaite); small dots are seeds (${fewestSeeds(model)}), n in brackets is queries. Arrows mark intervals that are cut.${tail(model)}`,
    delta: model.results.delta,
    axisLabel: 'relative drop θ (%) — left: gain, right: harm',
    rows,
  });
}

/** Metric of every arm; one figure per dataset and backbone. */
export function armValues(model: ReportModel): Figure[] {
  return eachPlace(model.results).flatMap(({ dataset, backbone, suffix }) => {
    const own = model.values.filter(
      (v) => v.dataset === dataset.dataset && v.backbone === backbone.backbone,
    );
    const points: ArmPoint[] = own.map((v) => ({
      arm: v.arm,
      task: v.endpoint,
      group: v.group,
      seeds: v.means,
    }));
    if (points.length === 0) return [];
    const panels = ENDPOINTS.filter((e) => own.some((v) => v.endpoint === e)).map((task) => ({
      task,
      title: ENDPOINT_NAMES[task],
      axisLabel: metricName(dataset.endpoints[task]!.primaryMetric),
    }));
    const references = model.results.baselines
      .filter((b) => b.dataset === dataset.dataset)
      .flatMap((b) => {
        const value = baselineMean(model.results, b.name, b.endpoint, b.dataset, 'all');
        return value === null ? [] : [{ task: b.endpoint, label: b.label, value }];
      });
    const arms = model.results.arms.filter((a) => points.some((p) => p.arm === a.arm));
    const sizes = (['all', 'seen', 'unseen'] as const)
      .map((g) => ({ g, n: own.find((v) => v.group === g)?.queries ?? 0 }))
      .filter(({ n }) => n > 0)
      .map(({ g, n }) => `${GROUP_LABELS[g]} ${n}`);
    return [
      armsFigure({
        kind: 'arms',
        name: `arms${suffix}`,
        title: `Every arm on ${placeName(model.results, { dataset: dataset.dataset, backbone: backbone.backbone })}`,
        alt: `Mean ${panels.map((p) => `${p.title} ${p.axisLabel}`).join(' and ')} of ${plural(arms.length, 'arm')}; all values are in the table of the section.`,
        caption: `Mean over seeds (large marks) and single seeds (dots, ${model.results.seeds.length}) per arm; queries: ${sizes.join(', ')}. No interval is drawn here: arms share seeds and queries, so compare them by θ.${tail(model)}`,
        arms: arms.map((a) => ({ arm: a.arm, label: a.label })),
        panels,
        points,
        references,
      }),
    ];
  });
}

/** Training loss of every trained arm; one figure per dataset and backbone. */
export function losses(model: ReportModel): Figure[] {
  return eachPlace(model.results).flatMap(({ dataset, backbone, suffix }) => {
    const series = model.results.arms
      .filter((a) => a.composed !== true)
      .flatMap((a) =>
        ENDPOINTS.flatMap((task) => {
          const curves = model.results.cells
            .filter((c) => c.arm === a.arm && c.dataset === dataset.dataset)
            .filter((c) => c.backbone === backbone.backbone)
            .sort((x, y) => (x.seed ?? -1) - (y.seed ?? -1))
            .flatMap((c) => (c.losses[task]?.length ? [c.losses[task]] : []));
          if (curves.length === 0) return [];
          const seeds = curves.map((curve) => curve.map((p) => [p.step, p.loss] as const));
          return [{ arm: a.arm, label: a.label, task, seeds }];
        }),
      );
    if (series.length === 0) return [];
    const longest = Math.max(...series.flatMap((s) => s.seeds.map((c) => c.length)));
    const smooth = Math.max(1, Math.round(longest / 10) | 1);
    return [
      lossesFigure({
        kind: 'losses',
        name: `losses${suffix}`,
        title: `Training loss on ${placeName(model.results, { dataset: dataset.dataset, backbone: backbone.backbone })}`,
        alt: `Loss by step for ${plural(new Set(series.map((s) => s.arm)).size, 'arm')}, from ${longest} recorded steps.`,
        caption: `Training loss by step: thin lines are seeds (${model.results.seeds.length}), heavy lines their mean, averaged over ${smooth} neighbouring points. Arms see the same examples in the same order. No interval is drawn.${tail(model)}`,
        smooth,
        panels: ENDPOINTS.filter((e) => series.some((s) => s.task === e)).map((task) => ({
          task,
          title: `${ENDPOINT_NAMES[task]} loss`,
          axisLabel: 'step',
        })),
        series,
      }),
    ];
  });
}

/** Gate mass per layer × expert × task of one routed arm. */
export function routingMap(model: ReportModel, summary: RoutingSummary, index: number): Figure {
  const label = model.results.arms.find((a) => a.arm === summary.arm)?.label ?? summary.arm;
  const shares = summary.layers.map((l) => l.information.normalised);
  const hatch =
    summary.seeds > 1
      ? 'Hatched differences have a 95 % t interval over seeds that includes 0'
      : 'One seed: differences carry no interval';
  return routingMapFigure({
    kind: 'routingMap',
    name: index === 0 ? 'routing' : `routing-${index + 1}`,
    title: `Routing of ${label} on ${placeName(model.results, summary)}`,
    alt: `Gate mass of ${summary.experts.join(', ')} over ${plural(summary.layers.length, 'layer')}; the experts tell between ${percent(Math.min(...shares), 0, false)} and ${percent(Math.max(...shares), 0, false)} of the task.`,
    caption: `Mean gate mass per layer and expert (${summary.experts.join(', ')}), ${plural(summary.seeds, 'seed')}, ${summary.units.embedding} embedding and ${summary.units.reranking} reranking ${summary.unit}s (${summary.source}). ${hatch}. MI is mutual information between task and expert, tasks weighing the same.${tail(model)}`,
    experts: summary.experts,
    layers: summary.layers.map((l) => ({
      layer: l.layer,
      embedding: l.mass[0]!,
      reranking: l.mass[1]!,
      differenceCi95: l.differenceCi95,
      information: l.information.normalised,
    })),
  });
}

function eachPlace(
  results: StudyResults,
): { dataset: DatasetInfo; backbone: BackboneInfo; suffix: string }[] {
  return results.backbones.flatMap((backbone, b) =>
    results.datasets.map((dataset, d) => {
      const index = b * results.datasets.length + d;
      return { dataset, backbone, suffix: index === 0 ? '' : `-${index + 1}` };
    }),
  );
}

function tail(model: ReportModel): string {
  const banner = exploratoryBanner(model);
  return banner === null ? '' : ` ${banner}`;
}
