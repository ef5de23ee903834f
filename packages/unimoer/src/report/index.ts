import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { withOutputs } from '../lib/outputs.js';
import type { Block, ReportDocument } from './blocks.js';
import { buildDocument } from './document.js';
import { reportHtml } from './html.js';
import { reportJson } from './json.js';
import { latexTable } from './latex.js';
import { reportMarkdown } from './markdown.js';
import { buildModel } from './model.js';
import type { ReportFiles, StudyResults } from './types.js';

/**
 * Every file of the report by path relative to its folder: report.json, report.md, index.html, figures/NAME.{svg,csv,json}
 * and tables/NAME.tex. A pure function: equal results give equal bytes.
 */
export function renderReport(results: StudyResults): ReportFiles {
  const model = buildModel(results);
  const document = buildDocument(model);
  const files: ReportFiles = new Map([
    ['report.json', reportJson(model)],
    ['report.md', reportMarkdown(document)],
    ['index.html', reportHtml(document)],
  ]);
  for (const block of blocksOf(document)) {
    if (block.type === 'figure') {
      const { name, svg, csv, spec } = block.figure;
      files.set(`figures/${name}.svg`, svg);
      files.set(`figures/${name}.csv`, csv);
      files.set(`figures/${name}.json`, spec);
    } else if (block.type === 'table' && block.local !== true) {
      files.set(`tables/${block.name}.tex`, latexTable(block, document.banner));
    }
  }
  return files;
}

/** Renders into `folder`; all files appear together, and figures or tables of an earlier report that are gone are removed. */
export async function writeReport(results: StudyResults, folder: string): Promise<ReportFiles> {
  const files = renderReport(results);
  await withOutputs((outputs) => {
    for (const [path, text] of files) outputs.write(join(folder, path), text);
  });
  for (const sub of ['figures', 'tables']) {
    const path = join(folder, sub);
    mkdirSync(path, { recursive: true });
    for (const name of readdirSync(path)) {
      if (!name.startsWith('.') && !files.has(`${sub}/${name}`)) rmSync(join(path, name));
    }
  }
  return files;
}

function blocksOf(document: ReportDocument): Block[] {
  return document.sections.flatMap((s) => s.blocks);
}
