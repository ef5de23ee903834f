/**
 * Floating-point operations of the matrix products that no engine can leave out of a training step or an encoding,
 * counted from the linears, the sequence lengths and the adapters: packed sequences, frozen weights without gradient,
 * adapters in rank space, only the experts that a top-k router chooses, only the causal half of a causal score matrix, attention
 * scores computed once, and no gradient where nothing below is trained.
 */

/** 2mnk of a product of [m,k] by [k,n]. */
const product = (m, n, k) => 2 * m * n * k;

/** Pairs of positions that attend to each other. */
const attending = ({ causal }, lengths) =>
  lengths.reduce((sum, n) => sum + (causal ? (n * (n + 1)) / 2 : n * n), 0);

/** One forward pass without adapters over sequences of these lengths: the linears, attention's scores and mixing. */
export function forwardFlops(backbone, lengths) {
  const tokens = lengths.reduce((a, b) => a + b, 0);
  const { heads, headDim } = backbone.config;
  const mixing = product(attending(backbone, lengths), heads, headDim);
  return backbone
    .linears()
    .reduce(
      (sum, { weight }) => sum + product(tokens, weight.outFeatures, weight.inFeatures),
      2 * mixing * backbone.layerCount,
    );
}

/** Linears of a layer in groups that read the same input: q, k, v; output; gate and up, or the first of an MLP; the last. */
function groups(linears) {
  const sizes = [3, 1, linears.length - 5, 1];
  let at = 0;
  return sizes.map((size) => {
    at += size;
    return linears.slice(at - size, at);
  });
}

/** `spec` as specs.mjs writes it, `backbone` with its adapters attached. */
export function stepFlops(backbone, spec) {
  const { moe } = spec;
  const lengths = spec.sequences.map((sequence) => sequence.length);
  const tokens = lengths.reduce((a, b) => a + b, 0);
  const pairs = attending(backbone, lengths);
  const active = moe ? (moe.topK || moe.experts) + (moe.shared ? 1 : 0) : 1;
  const ranks = (moe?.rank ?? spec.rank) * active;
  const { heads, headDim } = backbone.config;
  const mixing = product(pairs, heads, headDim);
  const flops = { forward: 0, inputGradients: 0, adapters: 0, attention: 0, loss: 0 };
  let trainedBelow = false;
  for (let layer = 0; layer < backbone.layerCount; layer++) {
    const linears = backbone.linears().filter((linear) => linear.layer === layer);
    if (moe) {
      const scores = product(lengths.length, moe.experts, backbone.hiddenSize);
      flops.adapters += scores * (trainedBelow ? 3 : 2);
    }
    for (const [index, group] of groups(linears).entries()) {
      for (const { weight, adapter } of group) {
        const { outFeatures: out, inFeatures: width } = weight;
        flops.forward += product(tokens, out, width);
        if (trainedBelow) flops.inputGradients += product(tokens, out, width);
        if (!adapter) continue;
        // both factors forward, the gradient of each, of the rank space and, where wanted, of the input
        const [down, up] = [product(tokens, ranks, width), product(tokens, out, ranks)];
        flops.adapters += 2 * down + 3 * up + (trainedBelow ? down : 0);
      }
      trainedBelow ||= group.some(({ adapter }) => adapter);
      // scores and mixing; the gradients of values, probabilities, queries and keys
      if (index === 0) flops.attention += mixing * (trainedBelow ? 6 : 2);
    }
  }
  const half = lengths.length / 2;
  flops.loss = 3 * product(half, half, backbone.hiddenSize);
  return { ...flops, total: Object.values(flops).reduce((a, b) => a + b, 0) };
}

/** What the measured peak allows beside what was reached. GFLOP/s and milliseconds. */
export function roofline(flops, peak, oursMs, peerMs) {
  const roofMs = (flops / peak / 1e9) * 1e3;
  return {
    gflop: flops / 1e9,
    peakGflops: peak,
    gflops: flops / oursMs / 1e6,
    share: roofMs / oursMs,
    roofMs,
    largestRatio: peerMs / roofMs,
  };
}

/** A roofline in words. */
export const describeRoof = ({ gflop, gflops, peakGflops, share, roofMs, largestRatio }) =>
  `${gflop.toFixed(1)} GFLOP at ${gflops.toFixed(0)} of ${peakGflops.toFixed(0)} GFLOP/s, ${(100 * share).toFixed(0)} % of the roof ` +
  `(${roofMs.toFixed(0)} ms), which allows ${largestRatio.toFixed(2)}x at most`;
