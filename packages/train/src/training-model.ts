import { type Model, trainingView, YesNoHead } from '@unimoer/models';
import type { TrainableBackbone, TrainTokenizer } from './types';

/**
 * A loaded model (with `forBackward`) as `trainRun` takes it. Decoders with a yes/no read-out are trained and
 * scored on their two logits, everything else through a linear head.
 */
export function trainingModel(model: Model): {
  backbone: TrainableBackbone;
  tokenizer: TrainTokenizer;
} {
  const { backbone, tokenizer } = trainingView(model);
  const { backend } = backbone.linears()[0]!.weight;
  const { head } = model;
  const readOut =
    head instanceof YesNoHead
      ? { yesNoLogits: (...args: Parameters<YesNoHead['pairLogits']>) => head.pairLogits(...args) }
      : {};
  return {
    backbone: { ...backbone, fingerprint: backbone.fingerprint, backend, ...readOut },
    tokenizer,
  };
}
