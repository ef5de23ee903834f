import type { KernelName } from '../kernels';
import { adapted } from './adapted';
import { attentionFamily } from './attention';
import type { ReferenceKernel } from './call';
import { elementwise } from './elementwise';
import { feedForwardFamily } from './feed-forward';
import { gemmFamily } from './gemm';
import { loss } from './loss';
import { norm } from './norm';
import { normRopeFamily } from './norm-rope';
import { optim } from './optim';
import { quantized } from './quantized';
import { reduce } from './reduce';
import { routing } from './routing';
import { scores } from './scores';
import { shape } from './shape';

/** Every kernel of the list; a missing one does not compile. */
export const referenceKernels: Readonly<Record<KernelName, ReferenceKernel>> = {
  ...elementwise,
  ...shape,
  ...reduce,
  ...norm,
  ...attentionFamily,
  ...loss,
  ...routing,
  ...optim,
  ...gemmFamily,
  ...adapted,
  ...feedForwardFamily,
  ...scores,
  ...normRopeFamily,
  ...quantized,
};
