import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const root = fileURLToPath(new URL('../../../', import.meta.url));

/** A line that shows that the example did what its header says. */
const expected: Record<string, RegExp> = {
  'custom-backend.ts': /gradient: (-?0\.\d{6} ?){6}/,
  'custom-backbone.ts': /near 0\.9\d+, far 0\.3\d+\nadapted: 2\ntrainable: 6144/,
  'custom-loss.ts': /step 4: loss 0\.\d{4}/,
  'custom-router.ts': /gates of layer 0 by sequence: \[ 1, 0, 0, 1 \]/,
  'search-and-rerank.ts': /reranked +\{ 'ndcg@10': 0\.\d+/,
};

test('every example has a test', () => {
  const files = readdirSync(join(root, 'examples')).filter((file) => file.endsWith('.ts'));
  expect(files.sort()).toEqual(Object.keys(expected).sort());
});

test.each(Object.entries(expected))('%s runs', (file, output) => {
  const args = ['--import', 'tsx', '--conditions=@unimoer/source', join('examples', file), '4'];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, {
    cwd: root,
    encoding: 'utf8',
  });
  expect(stderr).not.toMatch(/Error/);
  expect(status).toBe(0);
  expect(stdout).toMatch(output);
});
