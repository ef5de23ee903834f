import { opCases } from './op-cases';
import { savedForBackward } from './saved';
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

## What an op keeps for backward

From a run of the op's first case: inputs by number (from 0), its result, and what exists only for the gradient.
Inputs and results are references, not copies; an input that nothing else needs is freed with the tape. Matrices
of a frozen weight's shape are its packs, which the weight holds anyway.

| op | case, input shapes | keeps |
| --- | --- | --- |
${savedLines().join('\n')}
`;
}

function savedLines(): string[] {
  const differentiable = opCases.filter((c) => c.differentiable && !c.large);
  const names = [...new Set(differentiable.map((c) => c.op))].sort();
  return names.map((op) => {
    const spec = differentiable.find((c) => c.op === op)!;
    const shapes = spec.inputs.map(({ shape }) => `[${shape.join(', ')}]`).join(' ');
    const kept = savedForBackward(spec);
    return `| \`${op}\` | ${spec.label}: ${shapes} | ${kept.join(', ') || 'nothing'} |`;
  });
}
