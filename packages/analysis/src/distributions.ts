/**
 * Distribution functions that the study's tests need: normal, Student t (any real df > 0) and noncentral t.
 * Accuracy against scipy is checked in the tests (absolute 1e-10 for probabilities).
 */

const LANCZOS = [
  0.99999999999980993, 676.5203681218851, -1259.1392167224028, 771.32342877765313,
  -176.61502916214059, 12.507343278686905, -0.13857109526572012, 9.9843695780195716e-6,
  1.5056327351493116e-7,
];

/** ln Γ(x) for x > 0 (Lanczos, g = 7). */
export function logGamma(x: number): number {
  if (x < 0.5) return Math.log(Math.PI / Math.sin(Math.PI * x)) - logGamma(1 - x);
  const y = x - 1;
  let a = LANCZOS[0]!;
  const t = y + 7.5;
  for (let i = 1; i < 9; i++) a += LANCZOS[i]! / (y + i);
  return 0.5 * Math.log(2 * Math.PI) + (y + 0.5) * Math.log(t) - t + Math.log(a);
}

/** Continued fraction of the incomplete beta function by the modified Lentz method. */
function betaFraction(x: number, a: number, b: number): number {
  const tiny = 1e-300;
  let c = 1;
  let d = 1 - ((a + b) * x) / (a + 1);
  d = 1 / (Math.abs(d) < tiny ? tiny : d);
  let h = d;
  for (let m = 1; m <= 10_000; m++) {
    const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 + even * d;
    d = 1 / (Math.abs(d) < tiny ? tiny : d);
    c = 1 + even / c;
    if (Math.abs(c) < tiny) c = tiny;
    h *= d * c;
    const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 + odd * d;
    d = 1 / (Math.abs(d) < tiny ? tiny : d);
    c = 1 + odd / c;
    if (Math.abs(c) < tiny) c = tiny;
    const step = d * c;
    h *= step;
    if (Math.abs(step - 1) < 1e-16) break;
  }
  return h;
}

/** Regularised incomplete beta I_x(a, b); `y` is 1 − x, passed apart so that neither tail loses digits. */
export function incompleteBeta(x: number, a: number, b: number, y = 1 - x): number {
  if (x <= 0) return 0;
  if (y <= 0) return 1;
  const front = Math.exp(
    logGamma(a + b) - logGamma(a) - logGamma(b) + a * Math.log(x) + b * Math.log(y),
  );
  return x < (a + 1) / (a + b + 2)
    ? (front * betaFraction(x, a, b)) / a
    : 1 - (front * betaFraction(y, b, a)) / b;
}

/** P(Z > z) of the standard normal. */
export function normalSf(z: number): number {
  if (z < 0) return 1 - normalSf(-z);
  const x = z / Math.SQRT2;
  if (x < 2.5) {
    let term = x;
    let sum = x;
    for (let n = 1; n < 200; n++) {
      term *= (-x * x) / n;
      const add = term / (2 * n + 1);
      sum += add;
      if (Math.abs(add) < 1e-18 * Math.abs(sum)) break;
    }
    return 0.5 - sum / Math.sqrt(Math.PI);
  }
  let f = 0;
  for (let k = 120; k >= 1; k--) f = k / 2 / (x + f);
  return (0.5 * Math.exp(-x * x)) / (Math.sqrt(Math.PI) * (x + f));
}

/** P(T > t) of Student's t with `df` > 0 degrees of freedom (real). */
export function studentTSf(t: number, df: number): number {
  if (t === Infinity) return 0;
  if (t === -Infinity) return 1;
  const t2 = t * t;
  const tail = 0.5 * incompleteBeta(df / (df + t2), df / 2, 0.5, t2 / (df + t2));
  return t >= 0 ? tail : 1 - tail;
}

/** Two-sided p value of a t statistic. */
export function studentTTwoSided(t: number, df: number): number {
  return Math.min(1, 2 * studentTSf(Math.abs(t), df));
}

/** The t with P(T ≤ t) = p. Bisection on a bracket that doubles, to the last bit that matters (1e-13 relative). */
export function studentTQuantile(p: number, df: number): number {
  if (!(p > 0 && p < 1)) return p === 0 ? -Infinity : p === 1 ? Infinity : Number.NaN;
  if (p === 0.5) return 0;
  if (p < 0.5) return -studentTQuantile(1 - p, df);
  const tail = 1 - p;
  let hi = 1;
  while (studentTSf(hi, df) > tail) hi *= 2;
  let lo = hi === 1 ? 0 : hi / 2;
  for (let i = 0; i < 200 && hi - lo > 1e-14 * hi; i++) {
    const mid = (lo + hi) / 2;
    if (studentTSf(mid, df) > tail) lo = mid;
    else hi = mid;
  }
  return (lo + hi) / 2;
}

/**
 * P(T ≤ t) of the noncentral t (df > 0, noncentrality `delta`): the Poisson–beta series of Lenth (1989, AS 243), summed
 * outwards from its largest term.
 */
export function noncentralTCdf(t: number, df: number, delta: number): number {
  if (t < 0) return 1 - noncentralTCdf(-t, df, -delta);
  const base = normalSf(delta);
  if (t === 0) return base;
  const t2 = t * t;
  const x = t2 / (df + t2);
  const y = df / (df + t2);
  const lambda = (delta * delta) / 2;
  const logLambda = lambda > 0 ? Math.log(lambda) : -Infinity;
  const term = (j: number): number => {
    const odd =
      0.5 *
      Math.exp(-lambda + (j === 0 ? 0 : j * logLambda) - logGamma(j + 1)) *
      incompleteBeta(x, j + 0.5, df / 2, y);
    const even =
      (delta / (2 * Math.SQRT2)) *
      Math.exp(-lambda + (j === 0 ? 0 : j * logLambda) - logGamma(j + 1.5)) *
      incompleteBeta(x, j + 1, df / 2, y);
    return odd + even;
  };
  const mode = Math.floor(lambda);
  let sum = 0;
  for (let j = mode; j >= 0; j--) {
    const add = term(j);
    sum += add;
    if (j < mode - 10 && Math.abs(add) < 1e-17) break;
  }
  for (let j = mode + 1; j < mode + 10_000; j++) {
    const add = term(j);
    sum += add;
    if (Math.abs(add) < 1e-17 && j > mode + 5) break;
  }
  return Math.min(1, Math.max(0, base + sum));
}
