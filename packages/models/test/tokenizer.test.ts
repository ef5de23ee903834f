import { InputError } from '@unimoer/core';
import { afterAll, describe, expect, it } from 'vitest';
import { RerankerPrompt, rerankerTemplate, TextTokenizer } from '../src/index';
import { fixture, missing, removeVariants, sharedWeights, variant } from './fixtures';

afterAll(removeVariants);

const bert = TextTokenizer.load(fixture('tiny-bert'));
const [cls, sep] = [2, 3];

describe('truncation', () => {
  it('cuts text, never added tokens, at every length', () => {
    const { ids } = bert.encode('the mill grinds grain', 64);
    for (let n = 2; n <= ids.length; n++) {
      const cut = bert.encode('the mill grinds grain', n);
      expect(cut.ids).toEqual([...ids.slice(0, n - 1), sep]);
      expect(cut.truncated).toBe(n < ids.length);
    }
    expect(() => bert.encode('mill', 1)).toThrow(InputError);
  });

  it('takes the end of the document first, then that of the query', () => {
    const [query, document] = [bert.encodePlain('who grinds grain'), bert.encodePlain('the mill')];
    const fits = query.length + document.length + 3;
    for (let n = 3; n <= fits; n++) {
      const { ids, types, firstTokens, truncated } = bert.encodePair(
        'who grinds grain',
        'the mill',
        n,
      );
      const kept = query.slice(0, n - 3);
      const rest = document.slice(0, n - 3 - kept.length);
      expect(ids).toEqual([cls, ...kept, sep, ...rest, sep]);
      expect(types).toEqual(ids.map((_, i) => (i < kept.length + 2 ? 0 : 1)));
      expect(firstTokens).toBe(kept.length + 2);
      expect(truncated).toBe(n < fits);
    }
  });

  it('is not that of tokenizer.json, nor is padding', () => {
    const folder = variant(fixture('tiny-bert'), {
      'tokenizer.json': (old) => ({
        ...old,
        truncation: { max_length: 3, strategy: 'LongestFirst', stride: 0, direction: 'Right' },
        padding: { strategy: { Fixed: 50 }, pad_id: 0, pad_type_id: 0, pad_token: '[PAD]' },
      }),
    });
    const text = 'the mill grinds grain';
    expect(TextTokenizer.load(folder).encode(text, 64)).toEqual(bert.encode(text, 64));
  });

  it('keeps prefix and suffix of the reranker prompt, and refuses a limit without room for a body', () => {
    const tokenizer = TextTokenizer.load(fixture('tiny-qwen3'));
    const prompt = new RerankerPrompt(tokenizer);
    const whole = prompt.encode('mill', 'bread '.repeat(50), 8192);
    const cut = prompt.encode('mill', 'bread '.repeat(50), prompt.added + 1);
    expect(whole.truncated).toBe(false);
    expect(cut.ids).toHaveLength(prompt.added + 1);
    const prefix = tokenizer.encodePlain(rerankerTemplate.prefix);
    const suffix = tokenizer.encodePlain(rerankerTemplate.suffix);
    expect(cut.ids.slice(0, prefix.length)).toEqual(prefix);
    expect(cut.ids.slice(-suffix.length)).toEqual(suffix);
    expect(() => prompt.encode('mill', 'bread', prompt.added)).toThrow(/reranker prompt/);
  });
});

it('refuses a tokenizer.json that is none', () => {
  const broken = variant(fixture('tiny-bert'), {
    'tokenizer.json': () => ({ model: { type: 'Odd' } }),
  });
  expect(() => TextTokenizer.load(broken)).toThrow(
    /tokenizer\.json: .*@huggingface\/tokenizers reads/,
  );
  const absent = variant(fixture('tiny-bert'), { 'tokenizer.json': () => [] });
  expect(() => TextTokenizer.load(absent)).toThrow(InputError);
});

describe.skipIf(missing('qwen3-tokenizer'))("Qwen3's own tokenizer.json", () => {
  it('gives the published ids: a greeting, yes and no, the special tokens', () => {
    const tokenizer = TextTokenizer.load(sharedWeights('qwen3-tokenizer'));
    expect(tokenizer.encode('Hello world', 512).ids).toEqual([9707, 1879]);
    expect(tokenizer.encodePlain('yes')).toEqual([9693]);
    expect(tokenizer.encodePlain('no')).toEqual([2152]);
    const prompt = new RerankerPrompt(tokenizer).encode('q', 'd', 8192).ids;
    expect([prompt[0], prompt.at(-1)]).toEqual([151644, 271]);
    expect(prompt.filter((id) => id === 151645)).toHaveLength(2);
    expect(tokenizer.endsWithAddedToken).toBe(false);
  });
});
