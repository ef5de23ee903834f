import { dirname, isAbsolute, resolve } from 'node:path';
import { InputError } from '../lib/errors.js';
import { nearest } from '../lib/suggest.js';
import type { ProfileCut } from '../report/types.js';
import { profileSections, type StudyConfig, studySchema } from './schema.js';
import { readYaml, validate, type YamlFile } from './yaml-file.js';

/** A study file, read and resolved for one profile. */
export interface LoadedStudy {
  config: StudyConfig;
  profile: string;
  /** What the profile took from the file's full settings. */
  cuts: ProfileCut[];
  /** Absolute path of each dataset folder by name. */
  datasetPaths: Record<string, string>;
  /** Model of each backbone by name: an absolute folder, or an `hf:`/`npm:` name. */
  models: Record<string, string>;
  /** Folder from which `npm:` packages are looked up. */
  folder: string;
}

type Dictionary = Record<string, unknown>;

const isDictionary = (value: unknown): value is Dictionary =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** `over` on top of `base`: dictionaries merge, everything else replaces. */
function merge(base: unknown, over: unknown): unknown {
  if (!isDictionary(base) || !isDictionary(over)) return over;
  const merged: Dictionary = { ...base };
  for (const [key, value] of Object.entries(over)) {
    merged[key] = key in base ? merge(base[key], value) : value;
  }
  return merged;
}

/** Short forms written out: an arm's name stands for its preset. */
function expandArms(study: unknown): unknown {
  if (!isDictionary(study) || !Array.isArray(study.arms)) return study;
  return {
    ...study,
    arms: study.arms.map((arm) => (typeof arm === 'string' ? { preset: arm } : arm)),
  };
}

function refuse(file: YamlFile, path: string[], key: string, valid: readonly string[]): never {
  const suggestion = nearest(key, valid);
  throw new InputError({
    where: `${file.path}:${file.lineOf(path, key)}`,
    got: `unknown key ${JSON.stringify(key)} in ${path.join('.')}`,
    expected: `one of ${valid.join(', ')}`,
    remedy: suggestion ? `did you mean ${JSON.stringify(suggestion)}?` : 'remove it',
  });
}

interface Profile {
  reason: string;
  changes: Dictionary;
}

function readProfiles(file: YamlFile, raw: unknown): Map<string, Profile> {
  const profiles = new Map<string, Profile>();
  if (raw === undefined) return profiles;
  if (!isDictionary(raw)) {
    throw new InputError({
      where: `${file.path}:${file.lineOf(['profiles'])}`,
      got: 'no mapping under profiles',
      expected: 'profile names with the settings they change',
      remedy: 'indent the profiles below the key',
    });
  }
  for (const [name, value] of Object.entries(raw)) {
    const { reason, ...changes } = isDictionary(value) ? value : {};
    for (const key of Object.keys(changes)) {
      if (!profileSections.some((section) => section === key)) {
        refuse(file, ['profiles', name], key, ['reason', ...profileSections]);
      }
    }
    profiles.set(name, { reason: typeof reason === 'string' ? reason : '', changes });
  }
  return profiles;
}

/** Every leaf in which two resolved studies differ; arrays count as one leaf. */
function differences(
  full: unknown,
  used: unknown,
  path: string[] = [],
): [string, unknown, unknown][] {
  if (isDictionary(full) && isDictionary(used)) {
    return Object.keys({ ...full, ...used }).flatMap((key) =>
      differences(full[key], used[key], [...path, key]),
    );
  }
  return JSON.stringify(full) === JSON.stringify(used) ? [] : [[path.join('.'), full, used]];
}

const showValue = (value: unknown): string =>
  value === undefined
    ? 'none'
    : Array.isArray(value)
      ? value
          .map((item) => (isDictionary(item) ? String(item.name ?? item.preset) : String(item)))
          .join(', ')
      : String(value);

/** Resolves `path` from the folder of the YAML file, as every relative path in it. */
export function resolveModel(model: string, folder: string): string {
  return /^(hf|npm):/.test(model) || isAbsolute(model) ? model : resolve(folder, model);
}

/**
 * Reads a study file for a profile (`wanted`, else the file's own default, else none).
 * All profiles are checked, so that a mistake in one shows before it is used.
 * Throws InputError with file and line.
 */
export function loadStudy(path: string, wanted?: string): LoadedStudy {
  const file = readYaml(path);
  if (!isDictionary(file.value)) {
    throw new InputError({
      where: path,
      got: 'no settings',
      expected: 'a study with name, seeds, backbones, datasets, arms, training and evaluation',
      remedy: 'see studies/quick.yaml',
    });
  }
  const { profile: preferred, profiles: rawProfiles, ...base } = file.value;
  const profiles = readProfiles(file, rawProfiles);
  const full = validate(studySchema, expandArms(base), file);
  const resolved = new Map<string, StudyConfig>();
  for (const [name, { changes }] of profiles) {
    // A key of the merged study is shown where the profile has it, else where the base has it.
    const located = {
      path: file.path,
      lineOf: (keys: readonly PropertyKey[], key?: PropertyKey): number => {
        const inProfile = file.lineOf(['profiles', name, ...keys], key);
        return inProfile > file.lineOf(['profiles'], name) ? inProfile : file.lineOf(keys, key);
      },
    };
    resolved.set(name, validate(studySchema, expandArms(merge(base, changes)), located));
  }
  const profile = wanted ?? (typeof preferred === 'string' ? preferred : 'full');
  const config = resolved.get(profile) ?? (profile === 'full' ? full : undefined);
  if (!config) {
    const names = [...new Set([...profiles.keys(), 'full'])];
    throw new InputError({
      where: wanted === undefined ? `${path}:${file.lineOf([], 'profile')}` : '--profile',
      got: JSON.stringify(profile),
      expected: `one of ${names.join(', ')}`,
      remedy: `did you mean ${JSON.stringify(nearest(profile, names))}?`,
    });
  }
  const reason = profiles.get(profile)?.reason || `profile ${profile}`;
  const folder = dirname(path);
  return {
    config,
    profile,
    cuts: differences(resolved.get('full') ?? full, config).map(([what, before, after]) => ({
      what,
      full: showValue(before),
      used: showValue(after),
      reason,
    })),
    datasetPaths: Object.fromEntries(
      config.datasets.map((dataset) => [dataset.name, resolve(folder, dataset.path)]),
    ),
    models: Object.fromEntries(
      config.backbones.map((backbone) => [backbone.name, resolveModel(backbone.model, folder)]),
    ),
    folder,
  };
}
