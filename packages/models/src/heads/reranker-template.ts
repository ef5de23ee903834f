import { createHash } from 'node:crypto';
import { InputError } from '@unimoer/core';
import type { Encoded, TextTokenizer } from '../tokenizer';

/** The published Qwen3-Reranker prompt (arXiv 2506.05176 and its model card): prefix, body, suffix. */
export const rerankerTemplate = {
  prefix:
    '<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n',
  instruction: 'Given a web search query, retrieve relevant passages that answer the query',
  suffix: '<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n',
  /** Default limit in tokens, prefix and suffix included. */
  maxLength: 8192,
} as const;

/** The body up to the document. */
function bodyStart(instruction: string, query: string): string {
  return `<Instruct>: ${instruction}\n<Query>: ${query}\n<Document>:`;
}

/** Identifies the wording, for result files: published templates differ and scores shift with them. */
export function rerankerTemplateHash(instruction: string = rerankerTemplate.instruction): string {
  const text = `${rerankerTemplate.prefix}${bodyStart(instruction, '')}${rerankerTemplate.suffix}`;
  return createHash('sha256').update(text).digest('hex').slice(0, 16);
}

/**
 * Prefix + body + suffix, tokenised apart as the published code does; a body that is too long loses its end,
 * prefix and suffix stay whole. `firstTokens` counts up to the document's start (to within one merged token).
 */
export class RerankerPrompt {
  private readonly prefix: number[];
  private readonly suffix: number[];

  constructor(
    private readonly tokenizer: TextTokenizer,
    readonly instruction: string = rerankerTemplate.instruction,
  ) {
    this.prefix = tokenizer.encodePlain(rerankerTemplate.prefix);
    this.suffix = tokenizer.encodePlain(rerankerTemplate.suffix);
  }

  /** Tokens of prefix and suffix. */
  get added(): number {
    return this.prefix.length + this.suffix.length;
  }

  encode(query: string, document: string, maxLength: number): Encoded {
    if (maxLength <= this.added) {
      throw new InputError({
        where: 'maximum length',
        got: String(maxLength),
        expected: `more than the ${this.added} tokens of the reranker prompt`,
        remedy: 'raise --max-length',
      });
    }
    const start = bodyStart(this.instruction, query);
    const body = this.tokenizer.encodePlain(`${start} ${document}`);
    const kept = body.slice(0, maxLength - this.added);
    const ids = [...this.prefix, ...kept, ...this.suffix];
    const queryEnd = this.prefix.length + this.tokenizer.encodePlain(start).length;
    return {
      ids,
      types: ids.map(() => 0),
      firstTokens: Math.min(queryEnd, ids.length),
      truncated: kept.length < body.length,
    };
  }
}
