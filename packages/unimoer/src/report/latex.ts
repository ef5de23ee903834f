import type { TableBlock } from './blocks.js';

const SPECIAL: Record<string, string> = {
  '\\': '\\textbackslash{}',
  '&': '\\&',
  '%': '\\%',
  $: '\\$',
  '#': '\\#',
  _: '\\_',
  '{': '\\{',
  '}': '\\}',
  '~': '\\textasciitilde{}',
  '^': '\\textasciicircum{}',
  '<': '$<$',
  '>': '$>$',
  '−': '$-$',
  '±': '$\\pm$',
  '×': '$\\times$',
  '≥': '$\\geq$',
  θ: '$\\theta$',
  δ: '$\\delta$',
  σ: '$\\sigma$',
  μ: '$\\mu$',
  '·': '$\\cdot$',
  '—': '---',
  '–': '--',
  '“': '``',
  '”': "''",
  '’': "'",
  '…': '\\dots{}',
};

export function escapeLatex(text: string): string {
  return [...text.replaceAll('**', '').replaceAll('`', '')].map((c) => SPECIAL[c] ?? c).join('');
}

/** A table float for `booktabs`; goes into a paper with `\input`. */
export function latexTable(table: TableBlock, banner: string | null): string {
  const line = (cells: readonly string[]) => `${cells.map(escapeLatex).join(' & ')} \\\\`;
  const caption = banner === null ? table.caption : `${table.caption} ${banner}`;
  return `${[
    '% needs \\usepackage{booktabs}',
    '\\begin{table}[t]',
    '\\centering\\small',
    `\\begin{tabular}{${table.columns.map((c) => (c.align === 'right' ? 'r' : 'l')).join('')}}`,
    '\\toprule',
    line(table.columns.map((c) => c.label)),
    '\\midrule',
    ...table.rows.flatMap((row, i) => [
      ...(table.breaks?.includes(i) ? ['\\midrule'] : []),
      line(row),
    ]),
    '\\bottomrule',
    '\\end{tabular}',
    `\\caption{${escapeLatex(caption)}}`,
    `\\label{tab:${table.name}}`,
    '\\end{table}',
  ].join('\n')}\n`;
}
