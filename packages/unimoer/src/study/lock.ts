import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { InputError } from '../lib/errors.js';
import { processAlive } from '../lib/outputs.js';

interface Owner {
  pid: number;
  host: string;
  /** When the process began, in clock ticks, so that a later process with the same id is told apart. */
  started: string;
}

function startOf(pid: number | 'self'): string {
  try {
    // The name in parentheses may hold spaces; the start time is the 20th field after it.
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
  } catch {
    return '';
  }
}

function readOwner(path: string): Owner | null {
  try {
    const owner: Partial<Owner> = JSON.parse(readFileSync(path, 'utf8'));
    return typeof owner.pid === 'number'
      ? { pid: owner.pid, host: owner.host ?? '', started: owner.started ?? '' }
      : null;
  } catch {
    return null;
  }
}

function ownerLives({ pid, host, started }: Owner): boolean {
  // Nothing can be learnt about a process of another machine: its lock holds.
  if (host !== hostname()) return true;
  return processAlive(pid) && (started === '' || startOf(pid) === started);
}

/**
 * Takes the lock of a study folder; returns what gives it back. A lock whose owner is dead is
 * ignored; a live owner is an InputError.
 */
export function acquireLock(folder: string): () => void {
  const path = join(folder, 'lock');
  const mine = `${path}.${process.pid}`;
  const owner: Owner = { pid: process.pid, host: hostname(), started: startOf('self') };
  writeFileSync(mine, JSON.stringify(owner));
  try {
    for (let attempt = 0; attempt < 20; attempt++) {
      try {
        // A hard link appears whole or not at all, and only where there is no lock.
        linkSync(mine, path);
        return () => {
          if (readOwner(path)?.pid === process.pid) rmSync(path, { force: true });
        };
      } catch (error) {
        if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
      }
      const current = readOwner(path);
      if (current && ownerLives(current)) {
        throw new InputError({
          where: folder,
          got: `a study that process ${current.pid} on ${current.host} is running`,
          expected: 'no second process',
          remedy: 'wait for it or end it',
        });
      }
      removeDead(path, current);
    }
  } finally {
    rmSync(mine, { force: true });
  }
  throw new Error(`${path}: could not be taken; another process keeps taking it`);
}

/** Removes a dead owner's lock, and only that: a lock that was taken meanwhile is put back. */
function removeDead(path: string, seen: Owner | null): void {
  const aside = `${path}.dead.${process.pid}`;
  try {
    renameSync(path, aside);
  } catch {
    return;
  }
  const moved = readOwner(aside);
  if (moved && JSON.stringify(moved) !== JSON.stringify(seen) && ownerLives(moved)) {
    try {
      linkSync(aside, path);
    } catch {
      // A third process holds the lock now; the next attempt sees it.
    }
  }
  rmSync(aside, { force: true });
}
