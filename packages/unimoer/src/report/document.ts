import type { ReportDocument } from './blocks.js';
import type { ReportModel } from './model.js';
import { answerLine, answerSection } from './sections/answer.js';
import { groupsSection } from './sections/groups.js';
import { methodsSection } from './sections/methods.js';
import { powerSection, seedsSection } from './sections/power.js';
import { routingSection } from './sections/routing.js';
import { reproduceSection, setupSection, trainingSection } from './sections/setup.js';
import { exploratoryBanner, plural } from './words.js';

const QUESTION =
  'Does training one adapter for embedding and reranking together cost either task, compared with an adapter trained for that task alone, and does routing undo it?';

/** Puts the report's numbers into words, tables and figures. */
export function buildDocument(model: ReportModel): ReportDocument {
  const { results } = model;
  return {
    title: `Interference study: ${results.study}`,
    question: results.question ?? QUESTION,
    answer: answerLine(model),
    banner: exploratoryBanner(model),
    facts: [
      `profile ${results.profile}`,
      results.backbones.map((b) => b.label).join(', '),
      results.datasets
        .map((d) => `${d.label} (${plural(d.queries, 'query', 'queries')})`)
        .join(', '),
      plural(results.seeds.length, 'seed'),
      plural(results.arms.length, 'arm'),
    ],
    sections: [
      answerSection(model),
      groupsSection(model),
      routingSection(model),
      powerSection(model),
      seedsSection(model),
      trainingSection(model),
      setupSection(model),
      methodsSection(model),
      reproduceSection(model),
    ],
  };
}
