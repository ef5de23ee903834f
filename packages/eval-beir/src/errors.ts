/** What {@link InputError} is made of: where the bad input sits, what was found, what was wanted, what to do. */
export interface InputErrorDetail {
  where: string;
  got: string;
  expected: string;
  remedy: string;
}

/** Bad input of the user: a file, a line in it, or an option. Recognise it by `code === 'INPUT'`. */
export class InputError extends Error implements InputErrorDetail {
  override readonly name = 'InputError';
  readonly code = 'INPUT';
  readonly where: string;
  readonly got: string;
  readonly expected: string;
  readonly remedy: string;

  constructor(detail: InputErrorDetail) {
    super(`${detail.where}: got ${detail.got}, expected ${detail.expected}; ${detail.remedy}`);
    this.where = detail.where;
    this.got = detail.got;
    this.expected = detail.expected;
    this.remedy = detail.remedy;
  }
}

/** Shortens a value for an error message: one line, at most 60 characters, in quotes. */
export function quote(value: string): string {
  const flat = JSON.stringify(value);
  return flat.length <= 62 ? flat : `${flat.slice(0, 58)}…"`;
}
