import { InputError, Philox, type Task } from '@unimoer/core';
import { streamOf } from '@unimoer/moe-lora';
import type { TrainingData } from './types';

/** One query with its documents, by id: positives first known to the data, then minable negatives. */
export interface TrainQuery {
  id: string;
  text: string;
  positives: readonly string[];
  /** Candidates in the configured ranks that are neither relevant nor copies of a relevant text. */
  negatives: readonly string[];
}

/** A query with the documents of one draw. */
export interface Draw {
  query: TrainQuery;
  positive: string;
  negatives: readonly string[];
}

/** The queries that can be trained on and, by reason, how many cannot. */
export interface ExampleSet {
  queries: readonly TrainQuery[];
  skipped: Record<string, number>;
}

/**
 * Queries with at least one positive, and their hard negatives: the candidates of ranks
 * `[first, end)` without judged positives and documents whose text equals one.
 */
export function collectExamples(
  data: TrainingData,
  [first, end]: readonly [number, number],
): ExampleSet {
  const queries: TrainQuery[] = [];
  const skipped = { withoutText: 0, withoutPositive: 0, withoutNegative: 0, falseNegative: 0 };
  for (const [id, grades] of data.qrels) {
    const text = data.queries.get(id);
    const positives = [...grades]
      .filter(([document, grade]) => grade >= 1 && data.corpus.index.has(document))
      .map(([document]) => document);
    if (text === undefined) skipped.withoutText += 1;
    else if (positives.length === 0) skipped.withoutPositive += 1;
    else {
      const judged = new Set(positives);
      const copies = new Set(positives.map((document) => normalized(data, document)));
      const ranked = (data.candidates.get(id) ?? [])
        .slice(first, end)
        .filter((document) => data.corpus.index.has(document) && !judged.has(document));
      const negatives = ranked.filter((document) => !copies.has(normalized(data, document)));
      skipped.falseNegative += ranked.length - negatives.length;
      if (negatives.length === 0) skipped.withoutNegative += 1;
      queries.push({ id, text, positives, negatives });
    }
  }
  if (queries.length === 0) {
    throw new InputError({
      where: 'training data',
      got: `${data.qrels.size} judged queries, none with a text and a positive in the corpus`,
      expected: 'at least one',
      remedy: 'check that qrels, queries and corpus belong together',
    });
  }
  return { queries, skipped };
}

function normalized(data: TrainingData, document: string): string {
  return documentText(data, document).toLowerCase().replace(/\s+/g, ' ').trim();
}

/** Text of a document of the corpus. */
export function documentText(data: TrainingData, document: string): string {
  return data.corpus.texts[data.corpus.index.get(document)!]!;
}

/**
 * Draws batches of one task. Batch k is a function of seed, task and k alone: it neither depends on
 * the arm nor on what was drawn before, so arms see the same examples and a resumed run continues with
 * the same ones.
 */
export class TaskSampler {
  private readonly documents: readonly string[];
  private epoch = -1;
  private order: number[] = [];

  constructor(
    private readonly set: ExampleSet,
    data: TrainingData,
    private readonly task: Task,
    private readonly seed: number,
    private readonly shape: { queries: number; negatives: number },
  ) {
    this.documents = [...data.corpus.index.keys()];
  }

  batch(k: number): Draw[] {
    return Array.from({ length: this.shape.queries }, (_, i) =>
      this.draw(k * this.shape.queries + i),
    );
  }

  private draw(position: number): Draw {
    const query = this.set.queries[this.queryAt(position)]!;
    const random = new Philox(this.seed, streamOf(`${this.task}.draw.${position}`));
    const positive = query.positives[random.int(query.positives.length)]!;
    const pool = [...query.negatives];
    const negatives: string[] = [];
    while (negatives.length < this.shape.negatives && pool.length > 0) {
      negatives.push(pool.splice(random.int(pool.length), 1)[0]!);
    }
    const excluded = new Set([...query.positives, ...negatives]);
    while (negatives.length < this.shape.negatives && excluded.size < this.documents.length) {
      const document = this.documents[random.int(this.documents.length)]!;
      if (excluded.has(document)) continue;
      excluded.add(document);
      negatives.push(document);
    }
    if (negatives.length < this.shape.negatives) throw tooSmall(query, this.shape.negatives);
    return { query, positive, negatives };
  }

  /** Every epoch is its own permutation of the queries. */
  private queryAt(position: number): number {
    const size = this.set.queries.length;
    const epoch = Math.floor(position / size);
    if (epoch !== this.epoch) {
      const random = new Philox(this.seed, streamOf(`${this.task}.epoch.${epoch}`));
      this.order = random.shuffle(Array.from({ length: size }, (_, i) => i));
      this.epoch = epoch;
    }
    return this.order[position % size]!;
  }
}

function tooSmall(query: TrainQuery, negatives: number): InputError {
  return new InputError({
    where: `training query ${query.id}`,
    got: 'a corpus with too few documents that are not relevant',
    expected: `${negatives} negatives`,
    remedy: 'ask for fewer negatives',
  });
}
