/**
 * The case table: one row is an op with shapes and attributes. It drives the gradient checks (f64, finite
 * differences), the parity tests (each backend against the reference) and docs/compat.md.
 */
import type { OpCase } from './case';
import { largeCases } from './cases-large';
import { elementwiseCases } from './cases-elementwise';
import { fusedCases } from './cases-fused';
import { layoutCases } from './cases-layout';
import { linearCases } from './cases-linear';
import { scoreCases } from './cases-scores';
import { sparseGateCases } from './cases-sparse-gates';

export const opCases: readonly OpCase[] = [
  ...elementwiseCases,
  ...layoutCases,
  ...linearCases,
  ...sparseGateCases,
  ...fusedCases,
  ...scoreCases,
  ...largeCases,
];
