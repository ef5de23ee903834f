import { CLAIM_SEEDS } from '@unimoer/analysis';
import type { Section } from '../blocks.js';
import type { ReportModel } from '../model.js';
import { plainPercent } from '../words.js';

/** How the numbers were made, short enough to copy into a paper. */
export function methodsSection(model: ReportModel): Section {
  const delta = plainPercent(model.results.delta);
  const harm = plainPercent(2 * model.results.delta);
  return {
    id: 'methods',
    title: 'Methods in short',
    blocks: [
      {
        type: 'list',
        items: [
          '**Model.** d(s, q) = μ + seed + query + error with random seeds and random queries, crossed. Var of the mean = (MS_S + MS_Q − MS_E)/(SQ), floored at the larger of MS_S and MS_Q in the variance and in Satterthwaite’s degrees of freedom. The answer is for new seeds and new queries.',
          '**Effect.** θ = (dedicated − joint)/dedicated on grand means, with the linearised contributions of every seed and query; ratios of single queries are never averaged.',
          `**Verdict** from the 95 % interval [L, U], synergy first: U < 0 synergy · L ≥ ${harm} confirmed · L > 0 and θ ≥ ${harm} significant, size unsure · L > 0 and U < ${delta} negligible · L > 0 small · one-sided 95 % bound < ${delta} (or TOST within ±${delta}) no interference · else inconclusive.`,
          '**Family.** Holm over endpoints × datasets × backbones of this study; every other comparison is exploratory and carries a Benjamini–Hochberg q.',
          '**Arms without seeds** (zero-shot) and unpaired seeds: queries stay crossed, seeds are nested in arms and their variances add.',
          '**Secondary tests**: t over seed means (these queries, new seeds), t over seed-averaged queries and sign-flip randomisation (these checkpoints, new queries).',
          `**Exploratory**: fewer than ${CLAIM_SEEDS} seeds.`,
        ],
      },
    ],
  };
}
