/** Bad input to an analysis: names what was wrong, where, and what to do. */
export class AnalysisError extends Error {
  override readonly name = 'AnalysisError';
  readonly code = 'ANALYSIS';
  readonly where: string;

  constructor(detail: { where: string; got: string; expected: string; remedy: string }) {
    super(`${detail.where}: got ${detail.got}, expected ${detail.expected}; ${detail.remedy}`);
    this.where = detail.where;
  }
}
