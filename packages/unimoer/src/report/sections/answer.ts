import type { Block, Section } from '../blocks.js';
import { effects } from '../figures.js';
import { armOfRole, type ReportModel, type VerdictRow } from '../model.js';
import {
  ENDPOINT_NAMES,
  intervalWords,
  percent,
  placeName,
  plainPercent,
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
      `${ENDPOINT_NAMES[v.endpoint]} on ${placeName(model.results, v)}: **${VERDICT_NAMES[v.verdict].toLowerCase()}**`,
  );
  return `${parts.join('; ')}.`;
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
  if (figure !== null) blocks.push({ type: 'figure', figure }, verdictTable(model));
  const joint = armOfRole(model.results, 'joint');
  blocks.push({
    type: 'paragraph',
    text: `θ = (dedicated − joint)/dedicated on the mean of the primary metric, so **above 0 is harm**. ${joint === undefined ? '' : `The joint arm is “${joint.label}”: ${joint.description} `}The verdict rests on the 95 % interval of the crossed seeds × queries model and the margin δ = ${plainPercent(model.results.delta)}; “no interference” needs the one-sided bound below δ, not merely a large p. Tests for these queries only or for these checkpoints only stand beside it and decide nothing.`,
  });
  return { id: 'answer', title: 'The answer', blocks };
}

function verdictTable(model: ReportModel): Block {
  return {
    type: 'table',
    name: 'verdicts',
    caption:
      'Verdict per endpoint: θ with its 95 % interval, p of the crossed test and after Holm over this family, one-sided 95 % bound, equivalence p (TOST), smallest drop seen with 80 % power (MDE), and secondary p values.',
    columns: [
      { label: 'Endpoint' },
      { label: 'Dataset' },
      { label: 'Verdict' },
      { label: 'θ', align: 'right' },
      { label: '95 % CI (%)', align: 'right' },
      { label: 'p', align: 'right' },
      { label: 'p Holm', align: 'right' },
      { label: 'bound', align: 'right' },
      { label: 'p TOST', align: 'right' },
      { label: 'MDE', align: 'right' },
      { label: 'p seeds', align: 'right' },
      { label: 'p queries', align: 'right' },
      { label: 'p random.', align: 'right' },
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
        pValue(v.equivalenceP),
        c.minimumDetectable === null ? '—' : percent(c.minimumDetectable, 2, false),
        pValue(c.secondary.seedT),
        pValue(c.secondary.queryT),
        pValue(c.secondary.randomization),
      ];
    }),
  };
}
