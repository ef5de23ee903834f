import { type LayerRouting, mean, meanEstimate, summariseLayer, tTest } from '@unimoer/analysis';
import { ENDPOINTS } from './scores.js';
import type { CellResult, Endpoint, RoutingRecord, StudyResults } from './types.js';

export interface RoutingLayerSummary extends LayerRouting {
  /** Share of the task's entropy that the expert tells, one value a seed. */
  seedInformation: number[];
  /** MI between task and largest-gate expert, Miller–Madow corrected; null without argmax counts. */
  argmaxInformation: number | null;
  activeExperts: Record<Endpoint, number>;
  /** 95 % interval over seeds of (embedding − reranking) mass per expert; null with one seed. */
  differenceCi95: [number, number][] | null;
}

/** Routing of one arm on one dataset and backbone, averaged over seeds. */
export interface RoutingSummary {
  arm: string;
  dataset: string;
  backbone: string;
  seeds: number;
  experts: string[];
  unit: RoutingRecord['unit'];
  units: Record<Endpoint, number>;
  source: string;
  layers: RoutingLayerSummary[];
}

/** Summaries of every arm that recorded gates for both tasks. */
export function summariseRouting(results: StudyResults): RoutingSummary[] {
  return results.backbones.flatMap(({ backbone }) =>
    results.datasets.flatMap(({ dataset }) =>
      results.arms.flatMap(({ arm }) => {
        const cells = results.cells
          .filter((c) => c.arm === arm && c.dataset === dataset && c.backbone === backbone)
          .filter(hasRouting)
          .sort((a, b) => (a.seed ?? -1) - (b.seed ?? -1));
        if (cells.length === 0) return [];
        const first = cells[0]!.routing;
        const layers = first.layers.map((_, i) => summariseSeeds(cells, i));
        return [
          {
            arm,
            dataset,
            backbone,
            seeds: cells.length,
            experts: first.experts,
            unit: first.unit,
            units: first.units,
            source: first.source,
            layers,
          },
        ];
      }),
    ),
  );
}

type RoutedCell = CellResult & { routing: RoutingRecord };

function hasRouting(cell: CellResult): cell is RoutedCell {
  return cell.routing !== null && cell.routing.layers.length > 0;
}

function summariseSeeds(cells: readonly RoutedCell[], index: number): RoutingLayerSummary {
  const layers = cells.map((c) => c.routing.layers[index]!);
  const perSeed = layers.map((l) =>
    summariseLayer(
      l.layer,
      ENDPOINTS.map((e) => l.mass[e]),
    ),
  );
  const experts = cells[0]!.routing.experts.length;
  const average = [0, 1].map((task) =>
    Array.from({ length: experts }, (_, e) => mean(perSeed.map((s) => s.mass[task]![e]!))),
  );
  const differenceCi95 =
    cells.length < 2
      ? null
      : Array.from({ length: experts }, (_, e): [number, number] => {
          const { ci95 } = tTest(meanEstimate(perSeed.map((s) => s.mass[0]![e]! - s.mass[1]![e]!)));
          return [ci95.lo, ci95.hi];
        });
  const counts = layers.flatMap((l) =>
    l.argmax === undefined ? [] : [ENDPOINTS.map((e) => l.argmax![e])],
  );
  return {
    ...summariseLayer(layers[0]!.layer, average),
    seedInformation: perSeed.map((s) => s.information.normalised),
    argmaxInformation: counts.length === 0 ? null : mean(counts.map(argmaxShare)),
    activeExperts: {
      embedding: mean(layers.map((l) => l.activeExperts.embedding)),
      reranking: mean(layers.map((l) => l.activeExperts.reranking)),
    },
    differenceCi95,
  };
}

/** Normalised MI of the largest gate, tasks weighing the same; its small-sample bias is removed on the raw counts. */
function argmaxShare(counts: readonly number[][]): number {
  const total = counts.map((row) => row.reduce((s, v) => s + v, 0));
  const cells = counts.flat().filter((v) => v > 0).length;
  const experts = counts[0]!.filter((_, e) => counts.some((row) => row[e]! > 0)).length;
  const bias = (cells - counts.length - experts + 1) / (2 * (total[0]! + total[1]!));
  const { information } = summariseLayer(0, counts);
  return Math.max(0, information.mutualInformation - bias) / Math.LN2;
}
