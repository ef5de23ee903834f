import { InputError, type PackedBatch, type Task, tensor } from '@unimoer/core';
import type { Router, RouterBuild } from './router';

/** The tasks of a batch's sequences; throws InputError when the batch names none. */
export function tasksOf(batch: PackedBatch, where: string): readonly Task[] {
  if (!batch.tasks) {
    throw new InputError({
      where,
      got: 'a batch without tasks',
      expected: 'one task per sequence',
      remedy: 'pass tasks to packBatch',
    });
  }
  return batch.tasks;
}

/** Sends each sequence to the expert of its task with gate 1; nothing is learned (Jina v3's switch). */
export function hardSwitchRouter(build: RouterBuild): Router {
  const column = new Map<Task, number>();
  build.experts.forEach((expert, e) => {
    if (expert.task === 'shared' || column.has(expert.task)) {
      throw new InputError({
        where: `hardSwitch expert ${expert.name}`,
        got: `task ${expert.task}`,
        expected: 'one routed expert per task',
        remedy: 'make a shared expert alwaysOn',
      });
    }
    column.set(expert.task, e);
  });
  const experts = build.experts.length;
  return {
    parameters: () => [],
    route({ layer, ctx: { batch } }) {
      const groupTasks = tasksOf(batch, 'hardSwitch');
      const gates = new Float32Array(groupTasks.length * experts);
      groupTasks.forEach((task, g) => {
        const e = column.get(task);
        if (e !== undefined) gates[g * experts + e] = 1;
      });
      const { backend, dtype = 'f32' } = build;
      return {
        layer,
        gates: tensor(gates, [groupTasks.length, experts], { backend, dtype }),
        rowToGate: batch.rowToSequence,
        sparse: true,
        logits: null,
        probabilities: null,
        sparsity: null,
        groupTasks,
      };
    },
  };
}
