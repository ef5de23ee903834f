import { InputError, readSafetensors, type Tensor } from '@unimoer/core';

interface Named {
  name: string;
  tensor: Tensor;
}

/** Safetensors entries of parameters, f32. */
export function parameterEntries(
  parameters: readonly Named[],
): Record<string, { shape: number[]; data: Float32Array; dtype: 'F32' }> {
  return Object.fromEntries(
    parameters.map(({ name, tensor }) => [
      name,
      {
        shape: [...tensor.shape],
        data: Float32Array.from(tensor.toArray()),
        dtype: 'F32' as const,
      },
    ]),
  );
}

/** Overwrites parameters from a file that holds exactly them; InputError names what does not fit. */
export function readParameters(path: string, parameters: readonly Named[]): void {
  const file = readSafetensors(path);
  try {
    const wanted = new Map(parameters.map((parameter) => [parameter.name, parameter.tensor]));
    const stray = file.names().find((name) => !wanted.has(name));
    const missing = parameters.find(({ name }) => !file.names().includes(name));
    if (stray !== undefined || missing) {
      throw new InputError({
        where: path,
        got: stray !== undefined ? `tensor ${stray}` : `no tensor ${missing!.name}`,
        expected: 'exactly the parameters of the configuration',
        remedy: 'use the model and configuration that the file was written with',
      });
    }
    for (const [name, tensor] of wanted) {
      const { shape } = file.info(name);
      if (shape.join() !== tensor.shape.join()) {
        throw new InputError({
          where: `${path} ${name}`,
          got: `shape [${shape.join(', ')}]`,
          expected: `[${tensor.shape.join(', ')}]`,
          remedy: 'use the model that the adapter was trained on',
        });
      }
      tensor.set(file.read(name));
    }
  } finally {
    file.close();
  }
}
