import type { GradNode } from '../autograd/node';
import { getBackend, setDefaultBackend } from '../backend/registry';
import { scope } from '../tensor/scope';
import { makeInputs, type OpCase } from './case';

/**
 * What the tape of a case holds between forward and backward, from a run on the reference backend in f32: inputs by
 * number, the result, and whatever was made for the tape, by dtype and shape.
 */
export function savedForBackward(spec: OpCase): string[] {
  const before = getBackend();
  const backend = getBackend('reference');
  setDefaultBackend(backend);
  try {
    return scope(() => {
      const inputs = makeInputs(spec, 'f32', backend);
      const y = spec.run(inputs);
      const all = [...reachable(y.node)].sort((a, b) => a.id - b.id);
      // Ops that a row merely uses to bring several results together are not its own.
      const own = all.filter(({ op }) => spec.op.startsWith(op) || op.startsWith(spec.op));
      const names = (own.length > 0 ? own : all).flatMap(({ saved }) =>
        saved.map((t) => {
          const input = inputs.findIndex((x) => x.storage === t.storage);
          if (input >= 0) return `input ${input}`;
          return t.storage === y.storage ? 'result' : `${t.dtype} [${t.shape.join(', ')}]`;
        }),
      );
      for (const input of inputs) input.dispose();
      return names;
    });
  } finally {
    setDefaultBackend(before);
  }
}

function reachable(root: GradNode | null): Set<GradNode> {
  const nodes = new Set<GradNode>();
  const visit = (node: GradNode | null): void => {
    if (node === null || nodes.has(node)) return;
    nodes.add(node);
    node.inputs.forEach(visit);
  };
  visit(root);
  return nodes;
}
