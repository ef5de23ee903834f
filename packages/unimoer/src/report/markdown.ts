import type { Block, ReportDocument, TableBlock } from './blocks.js';

/** The report as GitHub-flavoured Markdown; figures are links into `figures/`. */
export function reportMarkdown(document: ReportDocument): string {
  const banner = document.banner === null ? [] : [`> **${document.banner}**`];
  const parts = [
    `# ${document.title}`,
    ...banner,
    `**Question.** ${document.question}`,
    `**Answer.** ${document.answer}`,
    document.facts.join(' · '),
    ...document.sections.flatMap((section) => [
      `## ${section.title}`,
      ...banner,
      ...section.blocks.map(block),
    ]),
  ];
  return `${parts.filter((p) => p !== '').join('\n\n')}\n`;
}

function block(b: Block): string {
  switch (b.type) {
    case 'paragraph':
      return b.text;
    case 'note':
      return `> ${b.text}`;
    case 'list':
      return b.items.map((i) => `- ${i}`).join('\n');
    case 'code':
      return `${b.summary === undefined ? '' : `${b.summary}:\n\n`}\`\`\`\n${b.text}\n\`\`\``;
    case 'figure':
      return `![${b.figure.alt}](figures/${b.figure.name}.svg)\n\n*${b.figure.title}.* ${b.figure.caption}`;
    case 'cards':
      return b.cards
        .map((c) => `- **${c.title}: ${c.verdict}**${c.tag === '' ? '' : ` (${c.tag})`}. ${c.text}`)
        .join('\n');
    case 'table':
      return table(b);
  }
}

function table(b: TableBlock): string {
  const cell = (text: string) => text.replaceAll('|', '\\|');
  const line = (cells: readonly string[]) => `| ${cells.map(cell).join(' | ')} |`;
  return [
    line(b.columns.map((c) => c.label)),
    line(b.columns.map((c) => (c.align === 'right' ? '---:' : '---'))),
    ...b.rows.map(line),
    '',
    `*${b.caption}*`,
  ].join('\n');
}
