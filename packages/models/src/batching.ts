/** Groups items of similar length, longest first, so that a group's lengths sum to at most `budget`; an item beyond it stands alone. */
export function planBatches(lengths: readonly number[], budget: number): number[][] {
  const order = lengths.map((_, i) => i).sort((a, b) => lengths[b]! - lengths[a]! || a - b);
  const batches: number[][] = [];
  let room = 0;
  for (const i of order) {
    const length = lengths[i]!;
    if (length > room || batches.length === 0) {
      batches.push([]);
      room = budget;
    }
    batches.at(-1)!.push(i);
    room -= length;
  }
  return batches;
}
