import { describe, expect, it } from 'vitest';
import { smoothMean } from '../src/figures/losses.js';
import { extent, fixed, ticks } from '../src/figures/scale.js';
import { escapeXml, textWidth } from '../src/figures/svg.js';
import { diverging, inkOn, sequential } from '../src/figures/theme.js';
import { csv, drawFigure, type FigureSpec } from '../src/index.js';

const text = (name: string) => ({
  name,
  title: `Title of ${name}`,
  alt: 'What it shows & why',
  caption: 'n = 4 queries, 2 seeds, two-way t interval',
});

const specs: FigureSpec[] = [
  {
    ...text('effect'),
    kind: 'effect',
    delta: 0.01,
    axisLabel: 'relative drop θ (%)',
    rows: [
      {
        group: 'Embedding · <Toy>',
        label: 'all queries',
        task: 'embedding',
        theta: 0.02,
        ci95: [-0.9, 0.06],
        seeds: [0.01, 0.03],
        primary: true,
      },
      {
        group: 'Reranking · <Toy>',
        label: 'all queries',
        task: 'reranking',
        theta: null,
        ci95: null,
        seeds: [],
        primary: false,
      },
    ],
  },
  {
    ...text('arms'),
    kind: 'arms',
    arms: [{ arm: 'joint', label: 'Joint LoRA' }],
    panels: [{ task: 'embedding', title: 'Embedding', axisLabel: 'nDCG@10' }],
    points: [{ arm: 'joint', task: 'embedding', group: 'all', seeds: [0.6, 0.64] }],
    references: [{ task: 'embedding', label: 'BM25', value: 0.62 }],
  },
  {
    ...text('losses'),
    kind: 'losses',
    smooth: 3,
    panels: [{ task: 'reranking', title: 'Reranking', axisLabel: 'step' }],
    series: [
      {
        arm: 'joint',
        label: 'Joint LoRA',
        task: 'reranking',
        seeds: [
          [
            [1, 0.9],
            [2, 0.5],
          ],
        ],
      },
    ],
  },
  {
    ...text('routing'),
    kind: 'routingMap',
    experts: ['embedding', 'reranking', 'shared'],
    layers: [
      {
        layer: 3,
        embedding: [0.6, 0.1, 0.3],
        reranking: [0.1, 0.5, 0.4],
        differenceCi95: [
          [0.4, 0.6],
          [-0.5, -0.3],
          [-0.2, 0.1],
        ],
        information: 0.25,
      },
    ],
  },
];

describe('figures', () => {
  it.each(specs)(
    '$kind redraws to the same bytes from its own spec, with title and description',
    (spec) => {
      const figure = drawFigure(spec);
      expect(drawFigure(JSON.parse(figure.spec)).svg).toBe(figure.svg);
      expect(figure.svg).toContain(
        `<title id="figure-${spec.name}-title">Title of ${spec.name}</title>`,
      );
      expect(figure.svg).toContain('What it shows &amp; why</desc>');
      expect(figure.svg).not.toMatch(/NaN|undefined|Infinity/);
      expect(figure.csv.trimEnd().split('\n').length).toBeGreaterThan(1);
    },
  );
  it('escapes data and marks cut intervals and unresolved differences', () => {
    expect(drawFigure(specs[0]!).svg).toContain('Embedding · &lt;Toy&gt;');
    const hatched = drawFigure(specs[3]!).svg.match(/url\(#figure-routing-hatch\)/g);
    expect(hatched?.length).toBe(1);
  });
  it('leaves room between the names of experts, also in a font wider than Helvetica', () => {
    const named = {
      ...specs[3]!,
      experts: ['embedding', 'reranking', 'a name too long for a column'],
    };
    const { svg } = drawFigure(named as FigureSpec);
    const labels = [
      ...svg.matchAll(/<text x="([\d.]+)" y="29"[^>]*?font-size="([\d.]+)"[^>]*>([^<]+)</g),
    ]
      .slice(0, 3)
      .map(([, x, size, label]) => ({ x: Number(x), width: textWidth(label!, Number(size)) }));
    expect(labels).toHaveLength(3);
    for (const [i, right] of labels.slice(1).entries()) {
      const left = labels[i]!;
      expect(right.x - right.width / 2 - (left.x + left.width / 2)).toBeGreaterThan(4.5);
    }
  });
  it('colours tasks as everywhere: embedding blue, reranking vermilion', () => {
    expect(diverging(1)).toBe('#0072b2');
    expect(diverging(-1)).toBe('#d55e00');
    expect(sequential(0)).toBe('#440154');
    expect([inkOn('#000000'), inkOn('#fde725')]).toEqual(['#ffffff', '#000000']);
  });
});

describe('figure helpers', () => {
  it('ticks are round and inside', () => {
    expect(ticks(-0.12, 0.31, 5)).toEqual([-0.1, 0, 0.1, 0.2, 0.3]);
    expect(ticks(2, 2)).toEqual([2]);
    expect(extent([3, 3], 0.1)).toEqual([2.7, 3.3]);
    expect(extent([])).toEqual([0, 1]);
  });
  it('numbers use a typographic minus and no negative zero', () => {
    expect(fixed(-1.25, 1)).toBe('−1.3');
    expect(fixed(0.04, 1, true)).toBe('0.0');
    expect(fixed(-0.001, 2)).toBe('0.00');
    expect(fixed(2, 1, true)).toBe('+2.0');
  });
  it('csv quotes only what must be', () => {
    expect(
      csv(
        ['a', 'b'],
        [
          ['x,y', null],
          ['q"', 1],
        ],
      ),
    ).toBe('a,b\n"x,y",\n"q""",1\n');
  });
  it('text helpers', () => {
    expect(escapeXml('<a & "b">')).toBe('&lt;a &amp; &quot;b&quot;&gt;');
    expect(textWidth('mm', 10)).toBeGreaterThan(textWidth('ii', 10) * 3);
  });
  it('the heavy loss line is the mean over seeds, averaged over neighbours', () => {
    const seeds = [
      [
        [1, 1],
        [2, 2],
        [3, 6],
      ],
      [
        [1, 3],
        [2, 2],
        [3, 2],
      ],
    ] as const;
    expect(smoothMean(seeds, 1)).toEqual([
      [1, 2],
      [2, 2],
      [3, 4],
    ]);
    expect(smoothMean(seeds, 3)[1]![1]).toBeCloseTo(8 / 3, 12);
  });
});
