import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { loadNativeBackend } from '../src/backend/native';

const index = new URL('../src/index.ts', import.meta.url).href;

function run(program: string, flags: string[] = []) {
  return spawnSync(
    process.execPath,
    [
      ...flags,
      '--import',
      'tsx',
      '--input-type=module',
      '-e',
      `import * as u from '${index}';\n${program}`,
    ],
    {
      cwd: fileURLToPath(new URL('..', import.meta.url)),
      env: {
        ...process.env,
        UNIMOER_BACKEND: loadNativeBackend().backend ? 'native' : 'reference',
      },
      encoding: 'utf8',
    },
  );
}

describe('a process', () => {
  test('ends cleanly with live tensors and a live tape', () => {
    const child = run(`
      const x = u.tensor([1, 2], [2], { requiresGrad: true });
      globalThis.kept = u.mul(x, x);
      u.FrozenWeight.pack(new Float32Array(4), [2, 2], { dtype: 'f32' });
      console.log('done');`);
    expect(child).toMatchObject({ status: 0, stdout: 'done\n', stderr: '' });
  });

  test('frees dropped tensors by the collector when no scope does', () => {
    const child = run(
      `
      const before = u.memory().liveBuffers;
      const x = u.tensor([1, 2], [2], { requiresGrad: true });
      for (let i = 0; i < 100; i++) u.mul(x, x);
      for (let i = 0; i < 10; i++) {
        u.scope(() => {
          const parameter = u.tensor([1, 2], [2], { requiresGrad: true });
          u.backward(u.sum(u.mul(parameter, u.keep(u.ones([2])))));
        });
      }
      const made = u.memory().liveBuffers - before;
      await new Promise((r) => setTimeout(r, 20));
      gc();
      await new Promise((r) => setTimeout(r, 50));
      console.log(made, u.memory().liveBuffers - before, x.size);`,
      ['--expose-gc'],
    );
    expect(child.stdout).toBe('131 1 2\n');
  });

  test('runs ops in a worker thread beside the main one', () => {
    const child = run(`
      import { Worker } from 'node:worker_threads';
      const work = () => u.scope(() => u.sum(u.matmul(u.ones([64, 64]), u.ones([64, 64]))).item());
      const code = \`import('tsx/esm/api').then((tsx) => tsx.register()).then(() => import('${index}')).then((u) => {
        const total = u.scope(() => u.sum(u.matmul(u.ones([64, 64]), u.ones([64, 64]))).item());
        require('node:worker_threads').parentPort.postMessage(total);
      })\`;
      const worker = new Worker(code, { eval: true, execArgv: [] });
      const fromWorker = new Promise((r) => worker.once('message', r));
      const ended = new Promise((r) => worker.once('exit', r));
      for (let i = 0; i < 20; i++) work();
      console.log(await fromWorker, work(), await ended);`);
    expect(child.stdout).toBe(`${64 ** 3} ${64 ** 3} 0\n`);
  });
});
