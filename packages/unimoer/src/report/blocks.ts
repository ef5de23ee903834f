import type { Figure } from '@unimoer/analysis';

/** Inline text may hold `code` and **bold**. */
export type Text = string;

export interface Column {
  label: string;
  align?: 'left' | 'right';
}

export interface TableBlock {
  type: 'table';
  /** File name of the LaTeX table. */
  name: string;
  caption: Text;
  columns: Column[];
  rows: string[][];
  /** Indices of rows that start a new group. */
  breaks?: number[];
  /** Holds times or host facts, so it is no LaTeX file of its own. */
  local?: boolean;
}

export interface CardsBlock {
  type: 'cards';
  cards: {
    title: string;
    verdict: string;
    tone: 'harm' | 'fine' | 'open';
    text: Text;
    tag: string;
  }[];
}

export type Block =
  | { type: 'paragraph'; text: Text }
  | { type: 'note'; tone: 'warning' | 'info'; text: Text }
  | { type: 'list'; items: Text[] }
  | { type: 'code'; text: string; summary?: string }
  | { type: 'figure'; figure: Figure }
  | TableBlock
  | CardsBlock;

export interface Section {
  id: string;
  title: string;
  blocks: Block[];
}

/** The report before it is set in Markdown or HTML. */
export interface ReportDocument {
  title: string;
  question: Text;
  answer: Text;
  facts: Text[];
  /** Stands on every page; null when the study may claim. */
  banner: string | null;
  sections: Section[];
}
