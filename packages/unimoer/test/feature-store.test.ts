import { describe, expect, it } from 'vitest';
import { RecentFeatureStore } from '../src/study/feature-store.js';

describe('cached hidden states', () => {
  it('drops what was used longest ago and keeps to its budget', () => {
    const store = new RecentFeatureStore(100);
    const entry = (fill: number) => new Uint8Array(40).fill(fill);
    store.set('a', entry(1));
    store.set('b', entry(2));
    expect(store.get('a')).toEqual(entry(1));
    store.set('c', entry(3));
    expect(store.get('b')).toBeUndefined();
    expect(store.get('a')).toEqual(entry(1));
    expect(store.get('c')).toEqual(entry(3));
    expect(store.bytes).toBe(80);
    store.set('big', new Uint8Array(101));
    expect(store.get('big')).toBeUndefined();
    expect(store.bytes).toBe(80);
  });
});
