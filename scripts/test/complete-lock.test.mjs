import { describe, expect, it } from 'vitest';
import { completeLock } from '../complete-lock.mjs';

const lock = {
  lockfileVersion: 3,
  packages: {
    '': { name: 'root' },
    'node_modules/tool': {
      version: '2.0.0',
      resolved: 'https://registry.example/tool.tgz',
      dev: true,
      optionalDependencies: { '@tool/linux-x64-musl': '2.0.0', '@tool/darwin-arm64': '2.0.0' },
    },
    'node_modules/@tool/linux-x64-musl': { version: '2.0.0', optional: true },
    'node_modules/tool/node_modules/inner': {
      version: '1.0.0',
      optionalDependencies: { '@tool/darwin-arm64': '2.0.0' },
    },
  },
};

describe('complete-lock', () => {
  it('adds one stub per missing platform package and drops addresses', () => {
    const result = completeLock(lock);
    expect(result).toMatchObject({ added: 1, stripped: 1 });
    expect(result.lock.packages['node_modules/@tool/darwin-arm64']).toEqual({
      version: '2.0.0',
      cpu: ['arm64'],
      dev: true,
      optional: true,
      os: ['darwin'],
    });
    expect(result.lock.packages['node_modules/tool'].resolved).toBeUndefined();
    expect(Object.keys(result.lock.packages)).toEqual(Object.keys(result.lock.packages).sort());
  });

  it('leaves a complete lock as it is', () => {
    const once = completeLock(lock).lock;
    expect(completeLock(once)).toEqual({ lock: once, added: 0, stripped: 0 });
  });

  it('refuses a range, which no stub can stand for', () => {
    const packages = {
      'node_modules/a': { version: '1.0.0', optionalDependencies: { b: '^1.0.0' } },
    };
    expect(() => completeLock({ packages })).toThrow(/b@\^1\.0\.0/);
  });
});
