import type { Block, ReportDocument, TableBlock, Text } from './blocks.js';
import { pageMargin, STYLE } from './html-style.js';

/** The report as one self-contained page: inline style and figures, no scripts, nothing fetched. */
export function reportHtml(document: ReportDocument): string {
  const banner =
    document.banner === null
      ? ''
      : `<div class="banner" role="note">${escapeHtml(document.banner)}</div>\n`;
  const nav = document.sections
    .map((s) => `<a href="#${s.id}">${escapeHtml(s.title)}</a>`)
    .join('\n');
  const sections = document.sections.map(
    (s) =>
      `<section id="${s.id}" aria-labelledby="${s.id}-title">\n<h2 id="${s.id}-title">${escapeHtml(s.title)}</h2>\n${s.blocks.map(block).join('\n')}\n</section>`,
  );
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escapeHtml(document.title)}</title>
<style>
${STYLE}
${pageMargin(document.banner)}
</style>
</head>
<body>
${banner}<header>
<h1>${escapeHtml(document.title)}</h1>
<p class="question">${inline(document.question)}</p>
<p class="answer">${inline(document.answer)}</p>
<p class="facts">${document.facts.map(escapeHtml).join(' · ')}</p>
<nav aria-label="Sections">
${nav}
</nav>
</header>
<main>
${sections.join('\n')}
</main>
<footer>Numbers for machines: <code>report.json</code>. Figures as SVG with data and specification: <code>figures/</code>. LaTeX tables: <code>tables/</code>.</footer>
</body>
</html>
`;
}

export function escapeHtml(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}

function inline(text: Text): string {
  return escapeHtml(text)
    .replace(/\*\*([^*]+)\*\*/g, '<strong>$1</strong>')
    .replace(/`([^`]+)`/g, '<code>$1</code>')
    .replace(/(\d) %/g, '$1&nbsp;%');
}

function block(b: Block): string {
  switch (b.type) {
    case 'paragraph':
      return `<p>${inline(b.text)}</p>`;
    case 'note':
      return `<p class="note">${inline(b.text)}</p>`;
    case 'list':
      return `<ul>\n${b.items.map((i) => `<li>${inline(i)}</li>`).join('\n')}\n</ul>`;
    case 'code': {
      const pre = `<pre><code>${escapeHtml(b.text)}</code></pre>`;
      return b.summary === undefined
        ? pre
        : `<details><summary>${escapeHtml(b.summary)}</summary>${pre}</details>`;
    }
    case 'figure':
      return `<figure>\n${b.figure.svg}<figcaption><b>${escapeHtml(b.figure.title)}.</b> ${inline(b.figure.caption)} Data: <code>figures/${b.figure.name}.csv</code>.</figcaption>\n</figure>`;
    case 'cards':
      return `<div class="cards">\n${b.cards
        .map(
          (c) =>
            `<article class="card ${c.tone}"><h3>${escapeHtml(c.title)}</h3><div class="verdict">${escapeHtml(c.verdict)}${c.tag === '' ? '' : `<span class="tag">${escapeHtml(c.tag)}</span>`}</div><p>${inline(c.text)}</p></article>`,
        )
        .join('\n')}\n</div>`;
    case 'table':
      return table(b);
  }
}

function table(b: TableBlock): string {
  const side = (i: number) => (b.columns[i]?.align === 'right' ? ' class="r"' : '');
  const head = b.columns
    .map((c, i) => `<th scope="col"${side(i)}>${inline(c.label)}</th>`)
    .join('');
  const rows = b.rows.map((row, r) => {
    const cells = row.map((cell, i) =>
      i === 0
        ? `<th scope="row"${side(i)}>${inline(cell)}</th>`
        : `<td${side(i)}>${inline(cell)}</td>`,
    );
    return `<tr${b.breaks?.includes(r) ? ' class="break"' : ''}>${cells.join('')}</tr>`;
  });
  return `<div class="scroll" tabindex="0" role="region" aria-label="${escapeHtml(b.name)}"><table>\n<caption>${inline(b.caption)}</caption>\n<thead><tr>${head}</tr></thead>\n<tbody>\n${rows.join('\n')}\n</tbody>\n</table></div>`;
}
