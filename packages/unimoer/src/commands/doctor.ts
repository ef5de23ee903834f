import { inspectMachine, type MachineReport } from '../lib/machine.js';
import { formatBytes } from '../lib/text.js';
import type { Register } from './index.js';

const examples = `
Examples:
  $ unimoer doctor
  $ unimoer doctor --json`;

/** `unimoer doctor`: what this machine offers, what is missing and how to get it. */
export const registerDoctor: Register = (program, io) => {
  program
    .command('doctor')
    .description('what this machine offers and what is missing')
    .addHelpText('after', examples)
    .action(async () => {
      const report = await inspectMachine();
      io.result(report, () => describe(report));
    });
};

function describe(report: MachineReport): string {
  const { backend, cpu, gpu, memory, versions } = report;
  const rows: [string, string][] = [
    ['unimoer', `${versions.unimoer} on Node ${versions.node}, ${report.platform}`],
    ['processor', `${cpu.model}, ${cpu.availableCores} of ${cpu.cores} cores`],
    ['features', cpu.features.join(' ') || 'unknown'],
    [
      'memory',
      `${formatBytes(memory.availableBytes)} available of ${formatBytes(memory.totalBytes)}`,
    ],
    [
      'backend',
      backend.name ? `${backend.name} (${backend.isa}), ${backend.threads} threads` : 'none',
    ],
    ['paths', backend.availableIsas.join(' ') || '-'],
    ['addon', backend.addonPath ?? `none: ${backend.reason ?? 'the reference backend was chosen'}`],
    ['compiler', report.compiler ?? 'none'],
    ['gpu', gpu.devices.join(', ') || 'none'],
  ];
  const lines = rows.map(([label, value]) => `${label.padEnd(10)} ${value}`);
  for (const { what, remedy } of report.missing) lines.push(`missing    ${what}: ${remedy}`);
  if (report.missing.length === 0) lines.push('nothing is missing');
  return lines.join('\n');
}
