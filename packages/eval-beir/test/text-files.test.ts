import { join } from 'node:path';
import { Readable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import { documentText, readTexts } from '@unimoer/eval-beir';
import { describe, expect, it } from 'vitest';
import { collect, failure, folder } from './helpers.js';

const good = '{"_id": "a", "text": "one"}\n{"_id": "b", "title": "T", "text": "two"}\n';

async function ids(content: string | Uint8Array, name = 't.jsonl'): Promise<string[]> {
  return (await collect(readTexts(join(folder({ [name]: content }), name)))).map(({ id }) => id);
}

function refusal(content: string | Uint8Array, name = 't.jsonl') {
  return failure(collect(readTexts(join(folder({ [name]: content }), name))));
}

describe('readTexts', () => {
  it('accepts a byte order mark, CRLF, blank lines and a last line without end', async () => {
    const text = '\ufeff{"_id":"a","text":"x"}\r\n\r\n  \n{"_id":"b","text":"y"}';
    expect(await ids(text)).toEqual(['a', 'b']);
  });

  it('gives title, text and line number; joins them as BEIR does', async () => {
    const path = join(folder({ 't.jsonl': good }), 't.jsonl');
    const records = await collect(readTexts(path));
    expect(records[1]).toEqual({ id: 'b', title: 'T', text: 'two', line: 2 });
    expect(records.map(documentText)).toEqual(['one', 'T two']);
  });

  it('reads streams', async () => {
    const stream = Readable.from([Buffer.from(good.slice(0, 20)), Buffer.from(good.slice(20))]);
    expect(await collect(readTexts({ name: 'stdin', stream }))).toHaveLength(2);
  });

  it.each([
    ['text that is not JSON', '{"_id": "b", "text"\n'],
    ['"[]"', '[]\n'],
    ['no _id', '{"text": "x"}\n'],
    ['_id "7" of type number', '{"_id": 7, "text": "x"}\n'],
    ['an empty _id', '{"_id": "", "text": "x"}\n'],
    ['_id "x y" with white space', '{"_id": "x y", "text": "x"}\n'],
    ['half a surrogate', '{"_id": "\\ud800", "text": "x"}\n'],
    ['_id "a" a second time', '{"_id": "a", "text": "x"}\n'],
    ['no text', '{"_id": "c"}\n'],
    ['text of type null', '{"_id": "c", "text": null}\n'],
    ['bytes that are not UTF-8', Buffer.from([0x7b, 0xff, 0x7d, 0x0a])],
  ])('refuses %s, naming file and line', async (got, line) => {
    const content = Buffer.concat([Buffer.from(good), Buffer.from(line as string)]);
    const error = await refusal(content);
    expect(error).toMatchObject({ code: 'INPUT', name: 'InputError' });
    expect(error.where).toMatch(/t\.jsonl:3$/);
    expect(error.got).toContain(got);
    expect(error.message).toBe(
      `${error.where}: got ${error.got}, expected ${error.expected}; ${error.remedy}`,
    );
  });

  it('with onBadLine warn counts and skips, but not malformed ids', async () => {
    const bad = `${good}nonsense\n{"_id":"a","text":"again"}\n{"text":"x"}\n{"_id":"c","text":"three"}\n`;
    const warnings: string[] = [];
    const options = { onBadLine: 'warn' as const, onWarning: (m: string) => warnings.push(m) };
    const path = join(folder({ 't.jsonl': bad }), 't.jsonl');
    expect((await collect(readTexts(path, options))).map(({ id }) => id)).toEqual(['a', 'b', 'c']);
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toMatch(
      /3 bad lines skipped; the first: .*t\.jsonl:3: got text that is not JSON/,
    );
    const malformed = join(folder({ 't.jsonl': '{"_id":"","text":"x"}' }), 't.jsonl');
    expect(await failure(collect(readTexts(malformed, options)))).toMatchObject({
      got: 'an empty _id',
    });
  });

  it('refuses a line of more than 64 MiB', async () => {
    const stream = Readable.from(
      (function* () {
        yield Buffer.from(good);
        for (let i = 0; i < 65; i++) yield Buffer.alloc(1 << 20, 0x20);
      })(),
    );
    const error = await failure(collect(readTexts({ name: 'stdin', stream })));
    expect(error).toMatchObject({ where: 'stdin:3', got: 'a line of more than 64 MiB' });
  });

  it('refuses missing files and folders', async () => {
    const path = folder();
    expect(await failure(collect(readTexts(join(path, 'none'))))).toMatchObject({
      got: 'no such file',
    });
    expect(await failure(collect(readTexts(path)))).toMatchObject({ got: 'a folder' });
  });
});

describe('.gz files', () => {
  const packed = gzipSync(good);
  const other = gzipSync('{"_id":"c","text":"three"}\n');

  it('reads every member', async () => {
    expect(await ids(Buffer.concat([packed, other]), 't.jsonl.gz')).toEqual(['a', 'b', 'c']);
  });

  it.each([
    ['a truncated gzip file', packed.subarray(0, -9)],
    ['a truncated gzip file', packed.subarray(0, -1)],
    ['a truncated gzip file', Buffer.concat([packed, other.subarray(0, 12)])],
    ['a truncated gzip file', Buffer.concat([packed, other.subarray(0, 4)])],
    ['a wrong gzip checksum', flip(packed, packed.length - 8)],
    ['a wrong gzip checksum', flip(packed, packed.length - 2)],
    ['bytes after the last gzip member', Buffer.concat([packed, Buffer.from('tail')])],
    ['bytes after the last gzip member', Buffer.concat([packed, Buffer.alloc(5)])],
    ['bytes after the last gzip member', Buffer.concat([packed, Buffer.alloc(3), other])],
    ['bytes that are not gzip', Buffer.from(good)],
  ])('refuses %s', async (got, bytes) => {
    expect(await refusal(bytes, 't.jsonl.gz')).toMatchObject({ code: 'INPUT', got });
  });

  it('refuses an empty file', async () => {
    expect(await refusal(Buffer.alloc(0), 't.jsonl.gz')).toMatchObject({ code: 'INPUT' });
  });
});

function flip(bytes: Buffer, at: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[at]! ^= 0x55;
  return copy;
}
