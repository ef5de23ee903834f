/** Test settings every package shares: workspace imports resolve to TypeScript sources, native addons run in forks. */
export const shared = {
  resolve: { conditions: ['@unimoer/source'] },
  ssr: { resolve: { conditions: ['@unimoer/source'] } },
  test: {
    pool: 'forks' as const,
    include: ['src/**/*.test.ts', 'test/**/*.test.ts'],
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
};
