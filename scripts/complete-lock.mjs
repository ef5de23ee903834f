/**
 * Makes package-lock.json complete after `npm install`.
 *
 * A registry mirror may lack the optional packages of other platforms. npm then leaves them out of the lock in silence,
 * and `npm ci` refuses such a lock. This adds an entry without integrity for each missing one, so that `npm ci` passes
 * everywhere and other platforms resolve theirs by name and version. It also drops the registry's address from
 * `resolved`, so that the lock serves any registry.
 *
 *   node scripts/complete-lock.mjs [--check] [FILE]
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const platforms = [
  'aix',
  'android',
  'darwin',
  'freebsd',
  'linux',
  'netbsd',
  'openbsd',
  'openharmony',
  'sunos',
  'win32',
];
const processors = [
  'arm64',
  'arm',
  'ia32',
  'loong64',
  'mips64el',
  'ppc64',
  'riscv64',
  's390x',
  'x64',
  'wasm32',
];

/** Folders in which Node looks for a dependency of the package at `location`, nearest first. */
function* lookupFolders(location) {
  for (let at = location; ; ) {
    yield at === '' ? 'node_modules' : `${at}/node_modules`;
    if (at === '') return;
    const parent = at.lastIndexOf('/node_modules/');
    at = parent < 0 ? '' : at.slice(0, parent);
  }
}

function stub(name, version, owner) {
  const words = name.split(/[^a-z0-9]+/);
  const os = platforms.find((platform) => words.includes(platform));
  const cpu = processors.find((processor) => words.includes(processor));
  const libc = words.includes('musl')
    ? 'musl'
    : words.includes('gnu') || words.includes('glibc')
      ? 'glibc'
      : undefined;
  return {
    version,
    ...(cpu && { cpu: [cpu] }),
    ...(owner.dev && { dev: true }),
    ...(os === 'linux' && libc && { libc: [libc] }),
    optional: true,
    ...(os && { os: [os] }),
  };
}

/** Returns the lock with stubs and without registry addresses, and how many entries changed. */
export function completeLock(lock) {
  const packages = { ...lock.packages };
  let added = 0;
  let stripped = 0;
  for (const [location, entry] of Object.entries(packages)) {
    if (/^https?:/.test(entry.resolved ?? '')) {
      const { resolved: _, ...rest } = entry;
      packages[location] = rest;
      stripped++;
    }
    for (const [name, range] of Object.entries(entry.optionalDependencies ?? {})) {
      if ([...lookupFolders(location)].some((folder) => packages[`${folder}/${name}`])) continue;
      if (!/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(range)) {
        throw new Error(
          `package-lock.json: ${location} wants ${name}@${range}, expected an exact version; add the entry by hand`,
        );
      }
      packages[`node_modules/${name}`] = stub(name, range, entry);
      added++;
    }
  }
  const sorted = Object.keys(packages).sort();
  return {
    lock: { ...lock, packages: Object.fromEntries(sorted.map((key) => [key, packages[key]])) },
    added,
    stripped,
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const args = process.argv.slice(2);
  const file = args.find((arg) => !arg.startsWith('--')) ?? 'package-lock.json';
  const { lock, added, stripped } = completeLock(JSON.parse(readFileSync(file, 'utf8')));
  if (args.includes('--check')) {
    if (added + stripped > 0) {
      console.error(
        `error: ${file}: ${added} entries missing, ${stripped} with an address; run node scripts/complete-lock.mjs`,
      );
      process.exit(1);
    }
  } else {
    writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`);
    console.log(`${file}: ${added} entries added, ${stripped} addresses dropped`);
  }
}
