import type { Block, Column, Section } from '../blocks.js';
import { effects } from '../figures.js';
import { armOfRole, type ReportModel, type VerdictRow } from '../model.js';
import {
  ENDPOINT_NAMES,
  fewestSeeds,
  intervalWords,
  percent,
  placeName,
  plainPercent,
  plural,
  pValue,
  VERDICT_NAMES,
  verdictSentence,
} from '../words.js';

const TONES: Record<VerdictRow['verdict'], 'harm' | 'fine' | 'open'> = {
  confirmed: 'harm',
  significant: 'harm',
  small: 'harm',
  negligible: 'fine',
  noInterference: 'fine',
  synergy: 'fine',
  inconclusive: 'open',
};

/** One line that answers the question for a reader who stops there. */
export function answerLine(model: ReportModel): string {
  if (model.verdicts.length === 0) return 'No verdict: the arms it needs were not run.';
  const parts = model.verdicts.map(
    (v) =>
      `${ENDPOINT_NAMES[v.endpoint]} on ${placeName(model.results, v)}: **${VERDICT_NAMES[v.verdict].toLowerCase()}**${unseen(v)}`,
  );
  return `${parts.join('; ')}.`;
}

/** An open answer is only honest beside what it could not see. */
function unseen({ verdict, comparison }: VerdictRow): string {
  if (verdict !== 'inconclusive' || comparison.minimumDetectable === null) return '';
  return ` (a drop under ${percent(comparison.minimumDetectable, 1, false)} would not have been seen)`;
}

export function answerSection(model: ReportModel): Section {
  const figure = effects(model);
  const blocks: Block[] = [
    {
      type: 'cards',
      cards: model.verdicts.map((v) => ({
        title: `${ENDPOINT_NAMES[v.endpoint]} · ${placeName(model.results, v)}`,
        verdict: VERDICT_NAMES[v.verdict],
        tone: TONES[v.verdict],
        text: verdictSentence(model, v),
        tag: v.exploratory ? 'exploratory' : '',
      })),
    },
    ...model.missing.map(
      (m): Block => ({
        type: 'note',
        tone: 'warning',
        text: `${ENDPOINT_NAMES[m.endpoint]} on ${placeName(model.results, m)} has no verdict: ${m.reason}.`,
      }),
    ),
  ];
  if (figure !== null) {
    blocks.push({ type: 'figure', figure }, verdictTable(model), testTable(model));
  }
  const joint = armOfRole(model.results, 'joint');
  blocks.push({
    type: 'paragraph',
    text: `θ = (dedicated − joint)/dedicated on the mean of the primary metric, so **above 0 is harm**. ${joint === undefined ? '' : `The joint arm is “${joint.label}”: ${joint.description} `}The verdict rests on the 95 % interval of the crossed seeds × queries model and the margin δ = ${plainPercent(model.results.delta)}; “no interference” needs the one-sided bound below δ, not merely a large p.`,
  });
  return { id: 'answer', title: 'The answer', blocks };
}

function verdictTable(model: ReportModel): Block {
  return {
    type: 'table',
    name: 'verdicts',
    caption:
      'Verdict per endpoint: θ with its 95 % interval, p of the crossed test and after Holm over this family, one-sided 95 % bound of the drop, and the smallest drop that such a design finds with 80 % power (MDE).',
    columns: [
      { label: 'Endpoint' },
      { label: 'Dataset' },
      { label: 'Verdict' },
      ...['θ', '95 % CI (%)', 'p', 'p Holm', 'bound', 'MDE'].map(right),
    ],
    rows: model.verdicts.map((v) => {
      const c = v.comparison;
      return [
        ENDPOINT_NAMES[v.endpoint],
        placeName(model.results, v),
        `${VERDICT_NAMES[v.verdict]}${v.exploratory ? ' (exploratory)' : ''}`,
        percent(c.theta!, 2),
        intervalWords(c.ci95, 2),
        pValue(c.p),
        pValue(v.pHolm),
        v.upper95 === null ? '—' : percent(v.upper95, 2),
        c.minimumDetectable === null ? '—' : percent(c.minimumDetectable, 2, false),
      ];
    }),
  };
}

function testTable(model: ReportModel): Block {
  return {
    type: 'table',
    name: 'tests',
    caption: `p values beside the verdict. Equivalence (TOST within ±δ) and non-inferiority (drop below δ) are part of the verdict rule; the other three speak for these queries only (t over ${plural(fewestSeeds(model), 'seed')}) or for these checkpoints only (t over queries, sign-flip randomisation) and decide nothing.`,
    columns: [
      { label: 'Endpoint' },
      { label: 'Dataset' },
      ...['TOST', 'non-inferiority', 't over seeds', 't over queries', 'randomisation'].map(right),
    ],
    rows: model.verdicts.map((v) => [
      ENDPOINT_NAMES[v.endpoint],
      placeName(model.results, v),
      pValue(v.equivalenceP),
      pValue(v.nonInferiorityP),
      pValue(v.comparison.secondary?.seedT ?? null),
      pValue(v.comparison.secondary?.queryT ?? null),
      pValue(v.comparison.secondary?.randomization ?? null),
    ]),
  };
}

function right(label: string): Column {
  return { label, align: 'right' };
}
