import { InvalidArgumentError } from 'commander';

/** Option parser: an integer of at least `min`. */
export function integer(min: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^[+-]?\d+$/.test(text.trim()) || !Number.isSafeInteger(value) || value < min) {
      throw new InvalidArgumentError(`got ${JSON.stringify(text)}, expected an integer >= ${min}.`);
    }
    return value;
  };
}

/** Option parser that gathers repeated uses in order. */
export function collect(value: string, previous: string[] | undefined): string[] {
  return [...(previous ?? []), value];
}

/** Option parser: a finite number from `min` to `max`. */
export function number(min: number, max = Number.POSITIVE_INFINITY): (text: string) => number {
  return (text) => {
    const value = text.trim() === '' ? Number.NaN : Number(text);
    if (!Number.isFinite(value) || value < min || value > max) {
      const range = max === Number.POSITIVE_INFINITY ? `>= ${min}` : `from ${min} to ${max}`;
      throw new InvalidArgumentError(`got ${JSON.stringify(text)}, expected a number ${range}.`);
    }
    return value;
  };
}
