import type { FeatureStore } from '@unimoer/train';

/**
 * Hidden states in memory, the least recently used of them dropped beyond the budget: what every cell
 * evaluates stays, the training texts of earlier seeds go.
 */
export class RecentFeatureStore implements FeatureStore {
  private readonly entries = new Map<string, Uint8Array>();
  private used = 0;

  constructor(private readonly budget = 1024 ** 3) {}

  get bytes(): number {
    return this.used;
  }

  get(key: string): Uint8Array | undefined {
    const found = this.entries.get(key);
    if (found) {
      // A Map keeps the order of insertion: the first entry is the one that was used longest ago.
      this.entries.delete(key);
      this.entries.set(key, found);
    }
    return found;
  }

  set(key: string, bytes: Uint8Array): void {
    if (this.entries.has(key) || bytes.length > this.budget) return;
    this.entries.set(key, bytes);
    this.used += bytes.length;
    for (const [oldest, old] of this.entries) {
      if (this.used <= this.budget) break;
      this.entries.delete(oldest);
      this.used -= old.length;
    }
  }
}
