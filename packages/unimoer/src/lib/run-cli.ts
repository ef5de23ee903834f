import { Command, CommanderError } from 'commander';
import { commands as allCommands, type Register } from '../commands/index.js';
import { describeError, exitCodeOf, InterruptedError } from './errors.js';
import { Io, type IoOptions } from './io.js';
import { version } from './version.js';

const usageOk = new Set(['commander.helpDisplayed', 'commander.help', 'commander.version']);

/** Builds the program with every command; parsing it runs the command's action. */
export function createProgram(io: Io, commands: readonly Register[] = allCommands): Command {
  const program = new Command('unimoer')
    .description(
      'Do embedding and reranking interfere in one model, where, and does routing undo it?',
    )
    .version(version)
    .option('--json', 'print one JSON document on stdout and nothing else there')
    .option('--quiet', 'no progress on stderr')
    .option('--debug', 'print a stack trace with an error')
    .configureHelp({ showGlobalOptions: true })
    .addHelpText(
      'after',
      `
Examples:
  $ unimoer study plan studies/quick.yaml
  $ unimoer study run studies/quick.yaml --out runs/quick
  $ unimoer train train.yaml --out runs/embed-only

Exit codes: 0 done, 1 the work failed, 2 wrong usage or bad input, 130 interrupted.`,
    );
  for (const register of commands) register(program, io);
  prepare(program, io);
  program.hook('preAction', () => readGlobals(program, io));
  return program;
}

/** Every command reports through the same streams and throws instead of exiting. */
function prepare(command: Command, io: Io): void {
  command.exitOverride().configureOutput({
    writeOut: (text) => io.stdout.write(text),
    writeErr: () => {},
    outputError: () => {},
  });
  if (command.parent) command.configureHelp({ showGlobalOptions: true });
  for (const child of command.commands) prepare(child, io);
}

function readGlobals(program: Command, io: Io): void {
  const options = program.opts<{ json?: boolean; quiet?: boolean; debug?: boolean }>();
  io.json = options.json ?? false;
  io.quiet = options.quiet ?? false;
  io.debug = options.debug ?? false;
}

function usageMessage(error: CommanderError, argv: readonly string[]): string {
  if (error.code === 'commander.help') {
    return 'COMMAND: got none, expected one of those that --help lists; see unimoer --help';
  }
  const text = error.message.replace(/^error: /, '').replace(/\s*\n\s*/g, ' ');
  const command = argv.find((word) => !word.startsWith('-'));
  return `${text}; see unimoer ${command ? `${command} ` : ''}--help`;
}

/**
 * Runs one command line in this process and returns its exit code: 0, 1, 2 or 130.
 * Never throws and never ends the process.
 */
export async function runCli(
  argv: readonly string[],
  options: IoOptions & { commands?: readonly Register[] },
): Promise<number> {
  const io = new Io(options);
  io.debug = argv.includes('--debug');
  try {
    await createProgram(io, options.commands).parseAsync(argv, { from: 'user' });
    io.flush();
    return 0;
  } catch (error) {
    if (error instanceof CommanderError) {
      // `help` without a command is wrong usage, an explicit `--help` is not.
      if (usageOk.has(error.code) && error.exitCode === 0) return 0;
      io.stderr.write(`error: ${usageMessage(error, argv)}\n`);
      return 2;
    }
    const code = exitCodeOf(error);
    if (code === 130) {
      const message = error instanceof InterruptedError ? error.message : 'interrupted';
      io.stderr.write(`${message}\n`);
    } else {
      io.stderr.write(`error: ${describeError(error)}\n`);
    }
    if (io.debug && error instanceof Error && error.stack) io.stderr.write(`${error.stack}\n`);
    return code;
  }
}
