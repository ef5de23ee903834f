import { InputError, type Linear } from '@unimoer/core';
import type { TargetPattern } from './config';

/**
 * The linears that a pattern names, in the given order. Throws InputError when a pattern matches none
 * or is no valid regular expression.
 */
export function matchLinears(
  linears: readonly Linear[],
  target: TargetPattern,
  layers?: readonly number[],
): Linear[] {
  const wanted = layers ? new Set(layers) : null;
  const candidates = linears.filter((linear) => !wanted || wanted.has(linear.layer));
  const chosen = new Set<Linear>();
  for (const pattern of typeof target === 'string' ? [target] : target) {
    const matches = compilePattern(pattern);
    const found = candidates.filter((linear) => matches(linear.name));
    if (found.length === 0) throw nothingMatches(pattern, linears, layers);
    for (const linear of found) chosen.add(linear);
  }
  return candidates.filter((linear) => chosen.has(linear));
}

function compilePattern(pattern: string): (name: string) => boolean {
  if (pattern === 'all') return () => true;
  if (pattern.length > 2 && pattern.startsWith('/') && pattern.endsWith('/')) {
    const expression = regularExpression(pattern);
    return (name) => expression.test(name);
  }
  if (/[*?]/.test(pattern)) {
    const source = pattern
      .replace(/[.+^${}()|[\]\\]/g, '\\$&')
      .replace(/\*+/g, '.*')
      .replace(/\?/g, '.');
    const expression = new RegExp(`^(?:.*\\.)?${source}$`);
    return (name) => expression.test(name);
  }
  return (name) => name === pattern || name.endsWith(`.${pattern}`);
}

function regularExpression(pattern: string): RegExp {
  try {
    return new RegExp(pattern.slice(1, -1));
  } catch (cause) {
    throw new InputError(
      {
        where: 'adapter target',
        got: pattern,
        expected: 'a valid regular expression between slashes',
        remedy: cause instanceof Error ? cause.message : String(cause),
      },
      { cause },
    );
  }
}

function nothingMatches(
  pattern: string,
  linears: readonly Linear[],
  layers?: readonly number[],
): InputError {
  const endings = [...new Set(linears.map((linear) => linear.name.split('.').at(-1)!))];
  return new InputError({
    where: 'adapter target',
    got: `${pattern}, which matches no linear${layers ? ` in layers ${layers.join(', ')}` : ''}`,
    expected: `a name, glob or /regex/ over ${linears[0]?.name ?? 'no linears at all'} and the like`,
    remedy: `names end in ${endings.join(', ')}; \`all\` takes every linear`,
  });
}
