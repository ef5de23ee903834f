import type { PackedBatch, Task } from '@unimoer/core';
import type { Routing } from './router';

const TASKS: readonly Task[] = ['embedding', 'reranking'];

/** Mean gates over the groups seen. `mass[task][layer][expert]` and `active[task][layer]` in the given orders. */
export interface RoutingStatistics {
  layers: number[];
  experts: string[];
  /** Groups (sequences or tokens) counted per task and layer. */
  groups: Record<Task, number>;
  /** Null for a task that was not seen. */
  mass: Record<Task, number[][] | null>;
  /** Mean number of experts with a positive gate. */
  active: Record<Task, number[] | null>;
}

interface Cell {
  groups: number;
  mass: Float64Array;
  active: number;
}

/** Adds up gate mass per layer × expert × task over forward passes. */
export class RoutingRecorder {
  private readonly cells = new Map<string, Cell>();
  private readonly layers = new Set<number>();

  constructor(private readonly experts: readonly string[]) {}

  /** Counts the decisions of one forward pass; batches without tasks are left out. */
  add(routings: readonly Routing[], batch: PackedBatch): void {
    for (const routing of routings) {
      const tasks = routing.groupTasks;
      const gates = routing.gates.toArray();
      if (tasks) {
        tasks.forEach((task, g) => {
          this.count(routing.layer, task, gates, g);
        });
      } else {
        // One decision for all tokens: every sequence uses it.
        for (const task of batch.tasks ?? []) this.count(routing.layer, task, gates, 0);
      }
    }
  }

  private count(layer: number, task: Task, gates: ArrayLike<number>, group: number): void {
    this.layers.add(layer);
    const n = this.experts.length;
    const key = `${layer}/${task}`;
    let cell = this.cells.get(key);
    if (!cell) {
      cell = { groups: 0, mass: new Float64Array(n), active: 0 };
      this.cells.set(key, cell);
    }
    cell.groups += 1;
    for (let e = 0; e < n; e++) {
      const gate = gates[group * n + e]!;
      cell.mass[e]! += gate;
      if (gate > 0) cell.active += 1;
    }
  }

  summary(): RoutingStatistics {
    const layers = [...this.layers].sort((a, b) => a - b);
    const per = <T>(task: Task, value: (cell: Cell) => T): T[] | null => {
      const cells = layers.map((layer) => this.cells.get(`${layer}/${task}`));
      return cells.length > 0 && cells.every((cell) => cell !== undefined)
        ? cells.map(value)
        : null;
    };
    const both = <T>(value: (task: Task) => T): Record<Task, T> =>
      Object.fromEntries(TASKS.map((task) => [task, value(task)])) as Record<Task, T>;
    return {
      layers,
      experts: [...this.experts],
      groups: both((task) => this.cells.get(`${layers[0]}/${task}`)?.groups ?? 0),
      mass: both((task) =>
        per(task, (cell) => Array.from(cell.mass, (total) => total / cell.groups)),
      ),
      active: both((task) => per(task, (cell) => cell.active / cell.groups)),
    };
  }

  reset(): void {
    this.cells.clear();
    this.layers.clear();
  }
}
