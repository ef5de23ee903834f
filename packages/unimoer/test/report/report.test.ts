import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crossedTest, drawFigure, relativeContributions } from '@unimoer/analysis';
import { describe, expect, it } from 'vitest';
import { compareArms } from '../../src/report/compare.js';
import { buildDocument } from '../../src/report/document.js';
import { renderReport, writeReport } from '../../src/report/index.js';
import { escapeLatex } from '../../src/report/latex.js';
import { buildModel } from '../../src/report/model.js';
import { reading } from '../../src/report/sections/routing.js';
import type { StudyResults } from '../../src/report/types.js';
import { syntheticResults } from './synthetic.js';

describe('what is said of a routed arm', () => {
  const say = (ci95: [number, number] | null) => reading({ ci95, minimumDetectable: 0.028 }, 0.01);
  it('does not call an arm close to the dedicated one when only a drop is ruled out', () => {
    expect(say([-0.03, 0.007])).toBe(
      'A drop of 1 % or more against the dedicated arm is ruled out.',
    );
  });
  it('follows the interval', () => {
    expect(say([0.001, 0.02])).toBe('It stays behind the dedicated arm.');
    expect(say([-0.02, -0.001])).toBe('It is ahead of the dedicated arm.');
    expect(say([-0.02, 0.02])).toBe('Undecided: a drop under 2.8 % would not have been seen.');
    expect(say(null)).toBe('One seed: no interval.');
  });
});

const place = { endpoint: 'embedding', dataset: 'scifact', backbone: 'minilm' } as const;
const json = (results: StudyResults) => JSON.parse(renderReport(results).get('report.json')!);

describe('report.json', () => {
  const report = json(syntheticResults());
  it('has the rows and names that scripts rely on', () => {
    expect(report.schemaVersion).toBe(1);
    expect(report.study).toBe('synthetic');
    expect(report.arms.length).toBe(1 + 6 * 2);
    const zero = report.arms[0];
    expect([zero.arm, zero.seed, zero.dataset]).toEqual(['zeroShot', null, 'scifact']);
    const own = report.arms.find((a: { arm: string }) => a.arm === 'embedOnly');
    expect(own.reranking).toEqual({});
    for (const key of ['embedding', 'trainableParameters', 'tokens', 'seconds']) {
      expect(own).toHaveProperty(key);
    }
    expect(own.embedding['ndcg@10']).toBeGreaterThan(0);
    expect(report.verdicts.map((v: { endpoint: string }) => v.endpoint)).toEqual([
      'embedding',
      'reranking',
    ]);
    for (const v of report.verdicts) {
      expect(Object.keys(v).slice(0, 10)).toEqual([
        'endpoint',
        'dataset',
        'backbone',
        'verdict',
        'theta',
        'ci95',
        'p',
        'pHolm',
        'minimumDetectable',
        'exploratory',
      ]);
      expect(v.exploratory).toBe(true);
    }
    expect(report).toHaveProperty('environment');
    expect(report).toHaveProperty('timing');
  });
  it('differs between equal runs only in seconds, timing, environment and createdAt', () => {
    const second = syntheticResults();
    second.createdAt = '2025-05-05T05:05:05.000Z';
    second.environment = { cpu: 'another machine' };
    second.timing = { seconds: 1 };
    for (const cell of second.cells) cell.seconds *= 3;
    const strip = (text: string) =>
      JSON.stringify(JSON.parse(text), (key, value: unknown) =>
        ['seconds', 'timing', 'environment', 'createdAt'].includes(key) ? undefined : value,
      );
    const [a, b] = [renderReport(syntheticResults()), renderReport(second)];
    expect(strip(b.get('report.json')!)).toBe(strip(a.get('report.json')!));
    for (const [path, text] of a) {
      if (/^(figures|tables)\//.test(path)) expect(b.get(path)).toBe(text);
    }
  });
  it('does not depend on the order in which cells finished', () => {
    const shuffled = syntheticResults();
    shuffled.cells.reverse();
    expect([...renderReport(shuffled)]).toEqual([...renderReport(syntheticResults())]);
  });
});

describe('statistics of the report', () => {
  it('θ, interval and p are the crossed test over the common queries', () => {
    const results = syntheticResults({ seeds: [1, 2, 3] });
    const table = (arm: string) =>
      results.cells
        .filter((c) => c.arm === arm)
        .map((c) =>
          Object.keys(c.embedding!.perQuery)
            .sort()
            .map((q) => c.embedding!.perQuery[q]!['ndcg@10']!),
        );
    const expected = crossedTest(
      relativeContributions(table('embedOnly') as number[][], table('joint') as number[][])
        .contributions,
    );
    const c = compareArms(results, { ...place, reference: 'embedOnly', arm: 'joint' })!;
    expect(c.theta).toBeCloseTo(expected.mean, 12);
    expect(c.p).toBeCloseTo(expected.p, 12);
    expect(c.ci95![0]).toBeCloseTo(expected.ci95.lo, 12);
    expect(c.seedThetas.reduce((s, v) => s + v, 0) / 3).toBeCloseTo(c.theta!, 12);
  });
  it('groups split the queries, and seeds pair by their number', () => {
    const results = syntheticResults({ seeds: [4, 9] });
    const of = (group: 'all' | 'seen' | 'unseen') =>
      compareArms(results, { ...place, reference: 'embedOnly', arm: 'joint', group })!;
    expect(of('seen').queries + of('unseen').queries).toBe(of('all').queries);
    results.cells = results.cells.filter((c) => !(c.arm === 'joint' && c.seed === 4));
    const left = of('all');
    expect([left.seeds, left.ci95, left.p]).toEqual([1, null, null]);
  });
  it('finds harm that was put in, and no interference where there is none', () => {
    const seeds = [1, 2, 3, 4, 5, 6];
    const harmed = json(
      syntheticResults({
        seeds,
        queries: 200,
        noise: 0.02,
        harm: { embedding: 0.08, reranking: 0 },
      }),
    );
    expect(harmed.verdicts[0].verdict).toBe('confirmed');
    expect(harmed.verdicts[0].exploratory).toBe(false);
    expect(harmed.verdicts[0].pHolm).toBeLessThan(0.01);
    const gained = json(
      syntheticResults({
        seeds,
        queries: 200,
        noise: 0.02,
        harm: { embedding: -0.08, reranking: 0 },
      }),
    );
    expect(gained.verdicts[0].verdict).toBe('synergy');
  });
  it('an arm put together from the dedicated cells is named identical and stays out of the q family', () => {
    const model = buildModel(syntheticResults());
    const hard = model.againstDedicated.find((c) => c.arm === 'hardSwitch')!;
    expect([hard.identical, hard.theta, hard.q]).toEqual([true, 0, null]);
    expect(model.againstDedicated.find((c) => c.arm === 'joint')!.q).toBeNull();
    expect(model.againstDedicated.find((c) => c.arm === 'moeLora')!.q).not.toBeNull();
  });
  it('the family of Holm grows with datasets', () => {
    const model = buildModel(syntheticResults({ datasets: 2, seeds: [1, 2, 3] }));
    expect(model.verdicts.length).toBe(4);
    const smallest = Math.min(...model.verdicts.map((v) => v.comparison.p!));
    expect(Math.min(...model.verdicts.map((v) => v.pHolm!))).toBeCloseTo(
      Math.min(1, 4 * smallest),
      12,
    );
  });
});

describe('what the report says', () => {
  it('stands plainly for its size: inconclusive with the drop that would not have been seen, exploratory everywhere', () => {
    const files = renderReport(syntheticResults());
    const md = files.get('report.md')!;
    expect(md).toMatch(/would not have been seen with 2 seeds and 60 queries/);
    const sections = md.match(/^## /gm)!.length;
    expect(md.match(/^> \*\*Exploratory: 2 seeds; a claim needs at least 5\.\*\*$/gm)!.length).toBe(
      sections + 1,
    );
    const html = files.get('index.html')!;
    expect(html).toContain('@top-center{content:"Exploratory: 2 seeds; a claim needs at least 5."');
    for (const path of files.keys()) {
      if (path.endsWith('.tex')) expect(files.get(path)).toContain('Exploratory: 2 seeds');
    }
    expect(md).toMatch(/All \(60\) \| Seen \(36\) \| Unseen \(24\)/);
    expect(md).toContain('what lies below is computed once');
  });
  it('names the gain on seen and unseen documents, against BM25 where the untrained model was not evaluated', () => {
    const results = syntheticResults();
    const zero = results.cells.find((c) => c.arm === 'zeroShot')!;
    const values = (c: typeof zero, group: string) =>
      Object.entries(c.embedding!.perQuery)
        .filter(([q]) => results.datasets[0]!.groups[q] === group)
        .map(([, v]) => v['ndcg@10']!);
    const average = (v: number[]) => v.reduce((s, x) => s + x, 0) / v.length;
    const own = results.cells.filter((c) => c.arm === 'embedOnly');
    const gain =
      average(own.map((c) => average(values(c, 'seen')))) - average(values(zero, 'seen'));
    zero.reranking = null;
    const md = renderReport(results).get('report.md')!;
    expect(md).toContain(`+${gain.toFixed(4)} on seen`);
    expect(md).toMatch(/“Reranking-only LoRA” stands in nDCG@10 against BM25 at/);
  });
  it('five seeds lift the exploratory mark', () => {
    const files = renderReport(syntheticResults({ seeds: [1, 2, 3, 4, 5] }));
    for (const name of ['report.md', 'index.html']) {
      expect(files.get(name)).not.toMatch(/Exploratory: \d/);
    }
  });
  it('one seed gives no interval, no p and a sentence that says why', () => {
    const results = syntheticResults({ seeds: [7] });
    const report = json(results);
    expect(report.verdicts[0]).toMatchObject({
      verdict: 'inconclusive',
      ci95: null,
      p: null,
      pHolm: null,
      minimumDetectable: null,
      exploratory: true,
    });
    expect(renderReport(results).get('report.md')).toContain(
      'no estimate of how new seeds would vary',
    );
  });
  it('a study without the joint arm has no verdict and says so', () => {
    const results = syntheticResults();
    results.arms = results.arms.filter((a) => a.role !== 'joint');
    results.cells = results.cells.filter((c) => c.arm !== 'joint');
    const files = renderReport(results);
    expect(JSON.parse(files.get('report.json')!).verdicts).toEqual([]);
    expect(files.get('report.md')).toContain('has no verdict: the study has no joint arm');
  });
  it('never prints NaN, undefined or Infinity', () => {
    for (const options of [{}, { seeds: [1] }, { seeds: [1, 2, 3, 4, 5], datasets: 2 }]) {
      const results = syntheticResults(options);
      for (const [path, text] of renderReport(results)) {
        expect(text, path).not.toMatch(/\bNaN\b|\bundefined\b|Infinity/);
      }
    }
  });
});

describe('files of the report', () => {
  const files = renderReport(syntheticResults());
  it('the page is self-contained: no scripts, no fetched resources, unique ids, escaped text', () => {
    const results = syntheticResults();
    results.arms = results.arms.map((a) => ({
      ...a,
      label: a.arm === 'joint' ? 'Joint <b>&' : a.label,
    }));
    const html = renderReport(results).get('index.html')!;
    expect(html).not.toMatch(/<script|<link|<img|src=|@import|href="(?!#)/);
    expect(html.replaceAll('http://www.w3.org/2000/svg', '')).not.toMatch(/https?:/);
    const ids = [...html.matchAll(/ id="([^"]+)"/g)].map((m) => m[1]);
    expect(new Set(ids).size).toBe(ids.length);
    expect(html).toContain('Joint &lt;b&gt;&amp;');
    expect(html).not.toContain('Joint <b>');
  });
  it('every figure has SVG, data and a spec that redraws it, and Markdown links to it', () => {
    const names = [...files.keys()].filter((p) => p.endsWith('.svg')).map((p) => p.slice(8, -4));
    expect(names.sort()).toEqual(['arms', 'effect', 'losses', 'routing']);
    for (const name of names) {
      const spec = JSON.parse(files.get(`figures/${name}.json`)!);
      expect(drawFigure(spec).svg).toBe(files.get(`figures/${name}.svg`));
      expect(files.get(`figures/${name}.csv`)!.split('\n').length).toBeGreaterThan(2);
      expect(files.get('report.md')).toContain(`(figures/${name}.svg)`);
    }
  });
  it('LaTeX tables are booktabs with every special character escaped', () => {
    const tex = files.get('tables/verdicts.tex')!;
    expect(tex).toContain('\\toprule');
    expect(tex).toContain('$\\theta$');
    expect(escapeLatex('a_b & 5 % #1 **bold** −2 ± 3 ~')).toBe(
      'a\\_b \\& 5 \\% \\#1 bold $-$2 $\\pm$ 3 \\textasciitilde{}',
    );
    for (const [path, text] of files) {
      if (!path.endsWith('.tex')) continue;
      expect(text, path).not.toMatch(/[^\x20-\x7e\n]/);
    }
  });
  it('writes everything together and removes figures that no longer belong', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'unimoer-report-'));
    try {
      await writeReport(syntheticResults({ datasets: 2 }), dir);
      expect(readdirSync(join(dir, 'figures'))).toContain('arms-2.svg');
      writeFileSync(join(dir, 'notes.txt'), 'mine');
      await writeReport(syntheticResults(), dir);
      expect(readdirSync(join(dir, 'figures'))).not.toContain('arms-2.svg');
      expect(readdirSync(dir).sort()).toEqual([
        'figures',
        'index.html',
        'notes.txt',
        'report.json',
        'report.md',
        'tables',
      ]);
      expect(readFileSync(join(dir, 'index.html'), 'utf8')).toBe(files.get('index.html'));
    } finally {
      rmSync(dir, { recursive: true });
    }
  });
  it('sections carry the answer first and the way to reproduce last', () => {
    const { sections } = buildDocument(buildModel(syntheticResults()));
    expect(sections[0]!.id).toBe('answer');
    expect(sections.at(-1)!.id).toBe('reproduce');
  });
});
