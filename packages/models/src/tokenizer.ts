import { join } from 'node:path';
import { InputError } from '@unimoer/core';
import { Tokenizer as HubTokenizer } from '@huggingface/tokenizers';
import { Fields } from './json-file';

/** Token ids of one text or pair. */
export interface Encoded {
  ids: number[];
  /** Segment of each token: 0 first text, 1 second. */
  types: number[];
  /** Leading tokens that belong to the first text, its special tokens included. */
  firstTokens: number;
  /** Whether tokens of the text were cut to fit. */
  truncated: boolean;
}

const GET_TOKENIZER = 'add the tokenizer.json of the model (a fast tokenizer)';
const FIRST = '\0first';
const SECOND = '\0second';

/** What the post-processor puts around a text or a pair: ids and segments. */
interface Layout {
  before: number[];
  between: number[];
  after: number[];
  /** Segments of: before, first text, between, second text, after. */
  types: [number[], number, number[], number, number[]];
  added: number;
}

/**
 * `tokenizer.json` through `@huggingface/tokenizers`. Ids are what the file yields, post-processor included;
 * truncation is ours (it cuts text, never tokens that the post-processor adds), the file's own truncation and
 * padding are ignored.
 */
export class TextTokenizer {
  readonly warnings: string[] = [];
  /** `model_max_length` of tokenizer_config.json where it is a real limit. */
  readonly modelMaxLength: number | null;
  private readonly single: Layout;
  private readonly pair: Layout;

  private constructor(
    readonly file: string,
    private readonly inner: HubTokenizer,
    config: Fields | null,
  ) {
    const limit = config?.has('model_max_length') ? config.positive('model_max_length') : null;
    this.modelMaxLength = limit !== null && limit < 1e9 ? Math.floor(limit) : null;
    this.single = this.layout(false);
    this.pair = this.layout(true);
    if (config) this.compareFlags(config);
  }

  /** Reads `tokenizer.json` and, if present, `tokenizer_config.json`. Throws InputError. */
  static load(folder: string): TextTokenizer {
    const file = join(folder, 'tokenizer.json');
    const json = Fields.read(file, GET_TOKENIZER);
    const config = Fields.readOptional(join(folder, 'tokenizer_config.json'));
    let inner: HubTokenizer;
    try {
      inner = new HubTokenizer(json.record, config?.record ?? {});
    } catch (cause) {
      const got = cause instanceof Error ? cause.message : String(cause);
      const expected = 'a tokenizer that @huggingface/tokenizers reads';
      throw new InputError({ where: file, got, expected, remedy: GET_TOKENIZER }, { cause });
    }
    return new TextTokenizer(file, inner, config);
  }

  /** Tokens that the post-processor adds to a single text. */
  get addedToSingle(): number {
    return this.single.added;
  }

  /** Tokens that the post-processor adds to a pair. */
  get addedToPair(): number {
    return this.pair.added;
  }

  /** Whether the post-processor ends a single text with a token of its own. */
  get endsWithAddedToken(): boolean {
    return this.single.after.length > 0;
  }

  /** Id of a token, or undefined. */
  tokenId(token: string): number | undefined {
    return this.inner.token_to_id(token);
  }

  /** Largest id that the file can yield. */
  largestId(): number {
    return (this.inner.model?.vocab.length ?? 0) - 1;
  }

  decode(ids: readonly number[]): string {
    return ids.length === 0 ? '' : this.inner.decode([...ids]);
  }

  /** Ids of a text without anything added. */
  encodePlain(text: string): number[] {
    if (text === '') return [];
    const ids: (number | undefined)[] = this.inner.encode(text, { add_special_tokens: false }).ids;
    return ids.filter((id) => id !== undefined);
  }

  /** One text, cut at its end to `maxLength` tokens, added ones included. */
  encode(text: string, maxLength: number): Encoded {
    const room = this.room(maxLength, this.single.added);
    const plain = this.encodePlain(text);
    const kept = plain.slice(0, room);
    const { before, after, types } = this.single;
    return {
      ids: [...before, ...kept, ...after],
      types: [...types[0], ...kept.map(() => types[1]), ...types[4]],
      firstTokens: before.length + kept.length + after.length,
      truncated: kept.length < plain.length,
    };
  }

  /** A pair; one that is too long loses the end of the second text, then of the first. */
  encodePair(first: string, second: string, maxLength: number): Encoded {
    const room = this.room(maxLength, this.pair.added);
    const a = this.encodePlain(first);
    const b = this.encodePlain(second);
    const keptA = a.slice(0, room);
    const keptB = b.slice(0, room - keptA.length);
    const { before, between, after, types } = this.pair;
    return {
      ids: [...before, ...keptA, ...between, ...keptB, ...after],
      types: [
        ...types[0],
        ...keptA.map(() => types[1]),
        ...types[2],
        ...keptB.map(() => types[3]),
        ...types[4],
      ],
      firstTokens: before.length + keptA.length + between.length,
      truncated: keptA.length + keptB.length < a.length + b.length,
    };
  }

  /** Number of leading tokens of `prompt + text` that are the prompt's, leading added tokens included. */
  promptTokens(prompt: string): number {
    return prompt === '' ? 0 : this.single.before.length + this.encodePlain(prompt).length;
  }

  private room(maxLength: number, added: number): number {
    const least = Math.max(added, 1);
    if (maxLength >= least) return maxLength - added;
    throw new InputError({
      where: 'maximum length',
      got: String(maxLength),
      expected: `at least ${least}, as ${this.file} adds ${added} tokens`,
      remedy: 'raise --max-length',
    });
  }

  /** Runs the post-processor on markers and reads off what it puts around them. */
  private layout(pair: boolean): Layout {
    const { tokens, types } = this.postProcess(pair);
    const a = tokens.indexOf(FIRST);
    const b = pair ? tokens.indexOf(SECOND) : a;
    if (a < 0 || b < a) {
      throw new InputError({
        where: `${this.file}: post_processor`,
        got: `a template with the order ${tokens.join(' ').replaceAll('\0', '$')}`,
        expected: 'the first text before the second',
        remedy: 'use a tokenizer.json with such a template',
      });
    }
    const ids = tokens.map((token, i) => (i === a || i === b ? -1 : this.addedId(token)));
    return {
      before: ids.slice(0, a),
      between: ids.slice(a + 1, b),
      after: ids.slice(b + 1),
      types: [types.slice(0, a), types[a]!, types.slice(a + 1, b), types[b]!, types.slice(b + 1)],
      added: tokens.length - (pair ? 2 : 1),
    };
  }

  private postProcess(pair: boolean): { tokens: string[]; types: number[] } {
    const second = pair ? [SECOND] : null;
    const output = this.inner.post_processor?.post_process([FIRST], second, true);
    // A ByteLevel processor hands a pair back in two parts, which the library itself then drops.
    const rest = output ? (output.tokens_pair ?? []) : (second ?? []);
    const head = output?.tokens ?? [FIRST];
    const tokens = [...head, ...rest];
    const types = output?.token_type_ids;
    if (types?.length === tokens.length) return { tokens, types };
    return { tokens, types: [...head.map(() => 0), ...rest.map(() => 1)] };
  }

  private addedId(token: string): number {
    const id = this.inner.token_to_id(token);
    if (id !== undefined) return id;
    throw new InputError({
      where: `${this.file}: post_processor`,
      got: `the token ${token}, which the vocabulary lacks`,
      expected: 'tokens of the vocabulary',
      remedy: GET_TOKENIZER,
    });
  }

  private compareFlags(config: Fields): void {
    const added = { bos: this.single.before[0], eos: this.single.after.at(-1) };
    for (const end of ['bos', 'eos'] as const) {
      const flag = `add_${end}_token`;
      const token = tokenContent(config, `${end}_token`);
      if (!config.has(flag) || token === null) continue;
      const present = added[end] !== undefined && added[end] === this.tokenId(token);
      if (config.boolean(flag, present) === present) continue;
      const fact = present ? 'adds' : 'does not add';
      this.warnings.push(
        `${config.file}: ${flag} is ${!present}, but tokenizer.json ${fact} ${token}; tokenizer.json is followed`,
      );
    }
  }
}

function tokenContent(config: Fields, name: string): string | null {
  const value = config.raw(name);
  if (typeof value === 'string') return value;
  const content = (value as { content?: unknown } | null | undefined)?.content;
  return typeof content === 'string' ? content : null;
}
