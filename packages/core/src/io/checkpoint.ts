import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { InputError } from '../errors';
import { repeatedKey } from './json-keys';
import { readSafetensors, type SafetensorsFile, type TensorSource } from './safetensors';
import type { SafetensorsDType } from './safetensors-header';

const single = 'model.safetensors';
const index = 'model.safetensors.index.json';

/** The weights of a model folder: model.safetensors, or the shards that model.safetensors.index.json names. */
export function openCheckpoint(folder: string): TensorSource {
  const whole = join(folder, single);
  if (existsSync(whole)) return readSafetensors(whole);
  const path = join(folder, index);
  if (!existsSync(path)) {
    throw new InputError({
      where: folder,
      got: 'no weights',
      expected: `${single} or ${index}`,
      remedy: 'give the folder of a model with safetensors weights',
    });
  }
  return ShardedCheckpoint.open(folder, path);
}

class ShardedCheckpoint implements TensorSource {
  private constructor(
    private readonly path: string,
    private readonly files: Map<string, SafetensorsFile>,
    private readonly homes: Map<string, SafetensorsFile>,
    readonly metadata: Readonly<Record<string, string>>,
  ) {}

  static open(folder: string, path: string): ShardedCheckpoint {
    const weightMap = readWeightMap(path);
    const files = new Map<string, SafetensorsFile>();
    const homes = new Map<string, SafetensorsFile>();
    try {
      for (const [name, shard] of weightMap) {
        let file = files.get(shard);
        if (!file) {
          file = readSafetensors(join(folder, shard));
          files.set(shard, file);
        }
        if (!file.has(name)) {
          throw fault(`${path} tensor ${name}`, `none of that name in ${shard}`, 'it in its shard');
        }
        homes.set(name, file);
      }
    } catch (error) {
      for (const file of files.values()) file.close();
      throw error;
    }
    const metadata = Object.assign({}, ...[...files.values()].map((f) => f.metadata));
    return new ShardedCheckpoint(path, files, homes, metadata);
  }

  names(): string[] {
    return [...this.homes.keys()].sort();
  }

  has(name: string): boolean {
    return this.homes.has(name);
  }

  info(name: string): { dtype: SafetensorsDType; shape: number[] } {
    return this.home(name).info(name);
  }

  read(name: string): Float32Array {
    return this.home(name).read(name);
  }

  readRaw(name: string): Uint8Array {
    return this.home(name).readRaw(name);
  }

  close(): void {
    for (const file of this.files.values()) file.close();
  }

  private home(name: string): SafetensorsFile {
    const file = this.homes.get(name);
    if (!file) {
      throw fault(
        this.path,
        `no tensor ${name}`,
        'it in the index',
        'use a checkpoint of this architecture',
      );
    }
    return file;
  }
}

function readWeightMap(path: string): [name: string, shard: string][] {
  const text = readFileSync(path, 'utf8');
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw fault(path, `text that is not JSON (${(error as Error).message})`, 'a JSON object');
  }
  const map =
    typeof json === 'object' && json !== null && 'weight_map' in json ? json.weight_map : null;
  if (typeof map !== 'object' || map === null || Array.isArray(map)) {
    throw fault(path, 'no weight_map', 'an object of shard names by tensor');
  }
  const repeated = repeatedKey(text);
  if (repeated !== null) throw fault(path, `the key ${repeated} twice`, 'unique names');
  return Object.entries(map).map(([name, shard]: [string, unknown]) => {
    if (typeof shard !== 'string' || !/^[^/\\]+$/.test(shard) || shard.includes('..')) {
      throw fault(
        `${path} tensor ${name}`,
        `shard name ${JSON.stringify(shard)}`,
        'a plain file name in the same folder',
      );
    }
    return [name, shard];
  });
}

function fault(
  where: string,
  got: string,
  expected: string,
  remedy = 'download or export the checkpoint again',
): InputError {
  return new InputError({ where, got, expected, remedy });
}
