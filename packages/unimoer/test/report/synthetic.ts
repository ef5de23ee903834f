import type {
  ArmInfo,
  CellResult,
  Endpoint,
  EndpointResult,
  LossPoint,
  RoutingRecord,
  StudyResults,
} from '../../src/report/types.js';

/** Park–Miller uniform numbers: enough for made-up study results, and the same everywhere. */
function uniform(seed: number): () => number {
  let state = (seed % 2147483646) + 1;
  return () => {
    state = (state * 48271) % 2147483647;
    return state / 2147483647;
  };
}

function normal(next: () => number): number {
  return Math.sqrt(-2 * Math.log(next())) * Math.cos(2 * Math.PI * next());
}

export interface SyntheticOptions {
  seeds?: number[];
  queries?: number;
  datasets?: number;
  /** Absolute harm of the joint arm on each endpoint. */
  harm?: Record<Endpoint, number>;
  /** Standard deviation of a query's difference between two arms. */
  noise?: number;
}

const ARMS: ArmInfo[] = [
  arm('zeroShot', 'No adapter', 'zeroShot', [], 'The pretrained model as it is.', 0),
  arm('embedOnly', 'Embedding-only LoRA', 'dedicated', ['embedding'], 'LoRA of rank 32.', 32),
  arm('rerankOnly', 'Reranking-only LoRA', 'dedicated', ['reranking'], 'LoRA of rank 32.', 32),
  arm('joint', 'Joint LoRA', 'joint', ['embedding', 'reranking'], 'LoRA of rank 32.', 32),
  arm(
    'jointRankMatched',
    'Joint LoRA, rank-matched',
    'jointRankMatched',
    ['embedding', 'reranking'],
    'LoRA of rank 96.',
    96,
  ),
  {
    ...arm(
      'hardSwitch',
      'Hard task switch',
      'hardSwitch',
      ['embedding', 'reranking'],
      'One LoRA per task, put together from the dedicated cells.',
      64,
    ),
    composed: true,
  },
  arm(
    'moeLora',
    'MoE-LoRA',
    'moe',
    ['embedding', 'reranking'],
    'Three experts of rank 32, Sparsegen router per layer.',
    96,
  ),
];

function arm(
  name: string,
  label: string,
  role: ArmInfo['role'],
  tasks: Endpoint[],
  description: string,
  rank: number,
): ArmInfo {
  return { arm: name, label, role, tasks, description, rank };
}

/** Made-up results of the quick study's shape; every number comes from the seeded generator above. */
export function syntheticResults(options: SyntheticOptions = {}): StudyResults {
  const seeds = options.seeds ?? [1, 2];
  const n = options.queries ?? 60;
  const noise = options.noise ?? 0.16;
  const harm = options.harm ?? { embedding: 0.005, reranking: -0.004 };
  const queries = Array.from({ length: n }, (_, i) => String(1 + i * 7));
  const groups = Object.fromEntries(
    queries.map((q, i) => [q, i % 5 < 3 ? ('seen' as const) : ('unseen' as const)]),
  );
  const names = ['scifact', 'nfcorpus'].slice(0, options.datasets ?? 1);
  const cells: CellResult[] = [];
  for (const [d, dataset] of names.entries()) {
    const level = queries.map((_, i) => 0.25 + 0.6 * uniform(1000 + 31 * i + d)());
    const scores = (name: string, seed: number | null, endpoint: Endpoint): EndpointResult => {
      const source =
        name === 'hardSwitch' ? (endpoint === 'embedding' ? 'embedOnly' : 'rerankOnly') : name;
      const next = uniform(
        7 * source.length + 911 * (seed ?? 0) + (endpoint === 'embedding' ? 1 : 5000),
      );
      const loss = source.startsWith('joint') || source === 'moeLora' ? harm[endpoint] : 0;
      const seedShift = 0.004 * normal(next);
      // Query-by-arm effects that every seed of the arm shares, beside the noise of one run.
      const ofArm = uniform(13 * source.length + (endpoint === 'embedding' ? 2 : 90));
      const shared = queries.map(() => 0.75 * noise * normal(ofArm));
      const perQuery = Object.fromEntries(
        queries.map((q, i) => {
          const gain = source === 'zeroShot' ? 0 : groups[q] === 'seen' ? 0.08 : -0.005;
          const value =
            level[i]! + gain - loss + seedShift + shared[i]! + 0.4 * noise * normal(next);
          return [q, { 'ndcg@10': Math.min(1, Math.max(0, Math.round(value * 1e4) / 1e4)) }];
        }),
      );
      const mean = queries.reduce((s, q) => s + perQuery[q]!['ndcg@10']!, 0) / n;
      return { metrics: { 'ndcg@10': mean, 'recall@100': Math.min(1, mean + 0.2) }, perQuery };
    };
    for (const info of ARMS) {
      for (const seed of info.role === 'zeroShot' ? [null] : seeds) {
        const evaluated = (e: Endpoint) => info.tasks.length === 0 || info.tasks.includes(e);
        const trained = info.tasks.length > 0;
        cells.push({
          arm: info.arm,
          seed,
          dataset,
          backbone: 'minilm',
          embedding: evaluated('embedding') ? scores(info.arm, seed, 'embedding') : null,
          reranking: evaluated('reranking') ? scores(info.arm, seed, 'reranking') : null,
          trainableParameters: trained ? info.rank * 41_472 : 0,
          tokens: trained ? 181_000 + info.tasks.length * 1000 : 0,
          steps: trained ? 48 : 0,
          examples: Object.fromEntries(info.tasks.map((t) => [t, t === 'embedding' ? 768 : 384])),
          flops: trained ? 9.3e12 * (info.rank > 32 ? 1.3 : 1) : 0,
          seconds: 30 + info.rank / 10,
          losses: Object.fromEntries(
            info.composed
              ? []
              : info.tasks.map((t) => [t, curve(info.arm.length + 17 * (seed ?? 0), t)]),
          ),
          routing: info.role === 'moe' ? routing(seed ?? 0) : null,
        });
      }
    }
  }
  return {
    study: 'synthetic',
    profile: 'quick',
    config: { seeds, training: { steps: 48, lr: 0.001 } },
    backbones: [
      {
        backbone: 'minilm',
        label: 'all-MiniLM-L6-v2',
        parameters: 22_713_216,
        layers: 6,
        dim: 384,
        licence: 'Apache-2.0',
      },
    ],
    datasets: names.map((dataset) => ({
      dataset,
      label: dataset === 'scifact' ? 'SciFact' : 'NFCorpus',
      split: 'test',
      documents: 5183,
      queries: n,
      trainQueries: 742,
      licence: 'CC BY 4.0',
      endpoints: {
        embedding: {
          primaryMetric: 'ndcg@10',
          pool: "gold documents and BM25's 5 best of every test query",
          poolSize: 1237,
          maxLength: 128,
        },
        reranking: {
          primaryMetric: 'ndcg@10',
          pool: "BM25's 10 best of each query",
          poolSize: 10,
          maxLength: 96,
        },
      },
      groups,
      groupRule: 'all gold documents are training positives',
    })),
    arms: ARMS,
    seeds,
    pairedSeeds: true,
    delta: 0.01,
    cells,
    baselines: names.flatMap((dataset) => [
      {
        name: 'bm25',
        label: 'BM25',
        dataset,
        endpoint: 'embedding' as const,
        metrics: { 'ndcg@10': 0.565 },
      },
      {
        name: 'bm25',
        label: 'BM25',
        dataset,
        endpoint: 'reranking' as const,
        metrics: { 'ndcg@10': 0.568 },
      },
    ]),
    cuts: [
      {
        what: 'embedding pool',
        full: 'whole corpus (5,183)',
        used: '1,237 documents',
        reason: 'encoding 5,183 documents for every cell takes longer than ten minutes',
      },
      {
        what: 'adapted layers',
        full: 'all 6',
        used: '3–5',
        reason: 'what lies below is computed once',
      },
    ],
    warnings: ['412 documents were longer than 128 tokens and were cut'],
    reproduce: {
      commands: ['npm run study'],
      versions: {
        unimoer: '0.0.0',
        data: 'sha256:0123456789abcdef',
        weights: 'sha256:fedcba9876543210',
      },
    },
    environment: { cpu: 'made-up CPU', threads: 2, backend: { name: 'native', isa: 'avx512bf16' } },
    timing: { seconds: 431.4567891, train: 250.1 },
    createdAt: '2024-01-01T00:00:00.000Z',
  };
}

function curve(seed: number, task: Endpoint): LossPoint[] {
  const next = uniform(seed + (task === 'embedding' ? 3 : 77));
  const start = task === 'embedding' ? 1.4 : 0.72;
  return Array.from({ length: 48 }, (_, i) => ({
    step: i + 1,
    loss: start * (0.35 + 0.65 * Math.exp(-i / 14)) + 0.06 * normal(next),
  }));
}

function routing(seed: number): RoutingRecord {
  return {
    experts: ['embedding', 'reranking', 'shared'],
    unit: 'sequence',
    units: { embedding: 1537, reranking: 3000 },
    source: 'test queries, pool documents and candidate pairs',
    layers: [3, 4, 5].map((layer) => {
      const shift = 0.05 * (layer - 3) + 0.01 * seed;
      return {
        layer,
        mass: {
          embedding: [0.45 + shift, 0.15 - shift / 2, 0.4 - shift / 2],
          reranking: [0.2 - shift / 2, 0.4 + shift, 0.4 - shift / 2],
        },
        argmax: { embedding: [900, 100, 537], reranking: [300, 1800, 900] },
        activeExperts: { embedding: 2.4 - shift, reranking: 2.6 - shift },
      };
    }),
  };
}
