/** Errors say where, what came, what was expected and what to do; `code` is stable for programs. */

/** Base of every error this library throws on purpose. */
export class UnimoerError extends Error {
  readonly code: string;

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
    this.code = code;
  }
}

/** The parts of a message: the op or place, what it got, what it wanted, and the way out. */
export interface Complaint {
  /** Name of the op, file, field or option. */
  where: string;
  got: string;
  expected: string;
  remedy?: string;
}

function sentence({ where, got, expected, remedy }: Complaint): string {
  return `${where}: got ${got}, expected ${expected}${remedy ? `; ${remedy}` : ''}`;
}

class ComplaintError extends UnimoerError implements Complaint {
  readonly where: string;
  readonly got: string;
  readonly expected: string;
  readonly remedy: string | undefined;

  constructor(code: string, complaint: Complaint, options?: ErrorOptions) {
    super(code, sentence(complaint), options);
    this.where = complaint.where;
    this.got = complaint.got;
    this.expected = complaint.expected;
    this.remedy = complaint.remedy;
  }
}

/** Shapes, sizes or axes that do not fit an op. */
export class ShapeError extends ComplaintError {
  constructor(complaint: Complaint) {
    super('SHAPE', complaint);
  }
}

/** A dtype that an op or a backend does not take. */
export class DTypeError extends ComplaintError {
  constructor(complaint: Complaint) {
    super('DTYPE', complaint);
  }
}

/** A backend that cannot be loaded, or refused a kernel. */
export class BackendError extends ComplaintError {
  constructor(complaint: Complaint, options?: ErrorOptions) {
    super('BACKEND', complaint, options);
  }
}

/** Allocation failed. */
export class OutOfMemoryError extends ComplaintError {
  constructor(complaint: Complaint) {
    super('OUT_OF_MEMORY', complaint);
  }
}

/** A tensor was used after it was freed, or its tape was consumed. */
export class DisposedError extends UnimoerError {
  constructor(message: string) {
    super('DISPOSED', message);
  }
}

/** Data that we wrote ourselves (checkpoints, optimiser state) and that does not fit. */
export class FormatError extends UnimoerError {
  readonly file: string;
  readonly detail: string;

  constructor(file: string, detail: string) {
    super('FORMAT', `${file}: ${detail}`);
    this.file = file;
    this.detail = detail;
  }
}

/** A file could not be written or read: no space, no permission, no such folder. */
export class FileError extends ComplaintError {
  constructor(complaint: Complaint, options?: ErrorOptions) {
    super('FILE', complaint, options);
  }
}

/** Something the user must change in a command, an option or a named file. */
export class InputError extends ComplaintError {
  constructor(complaint: Complaint & { remedy: string }, options?: ErrorOptions) {
    super('INPUT', complaint, options);
  }
}
