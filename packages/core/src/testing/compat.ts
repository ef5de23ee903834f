import { opCases } from './op-cases';
import { toleranceOf } from './tolerances';

const mark = (yes: boolean): string => (yes ? 'yes' : '–');

/** docs/compat.md: which op runs in which dtype on which backend, as the case table has it. */
export function compatMarkdown(): string {
  const names = [...new Set(opCases.map((c) => c.op))].sort();
  const lines = names.map((op) => {
    const rows = opCases.filter((c) => c.op === op);
    const takes = (dtype: 'f32' | 'bf16'): boolean => rows.some((c) => c.dtypes.includes(dtype));
    const limit = (dtype: 'f32' | 'bf16'): string => {
      if (!takes(dtype)) return '–';
      const { forward, gradient } = toleranceOf(op, dtype);
      return `${forward} / ${gradient}`;
    };
    const cells = [
      `\`${op}\``,
      mark(rows.some((c) => c.differentiable)),
      mark(rows.some((c) => c.twin)),
      'yes',
      mark(takes('f32')),
      mark(takes('bf16')),
      limit('f32'),
      limit('bf16'),
      String(rows.length),
    ];
    return `| ${cells.join(' | ')} |`;
  });
  return `# Ops, dtypes and backends

Generated from the case table in \`packages/core/src/testing\` by \`scripts/compat.ts\`; a test fails when this page is
out of date. Both CPU backends take f32 and bf16 as marked; f64 runs on the reference backend only. Gradients
are checked by finite differences in f64, the native backend against the reference in every marked dtype. A
twin is the same op composed of plain ops. Tolerances are the largest difference over the largest value, for
values / gradients.

| op | gradient | twin | f64 (reference) | f32 | bf16 | f32 tolerance | bf16 tolerance | cases |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
${lines.join('\n')}
`;
}
