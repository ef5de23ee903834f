// The addon's own surface: handles, views, refusals, worker threads, settings, exit with live buffers.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';

const path = fileURLToPath(new URL('../build/Release/unimoer_cpu.node', import.meta.url));
const addon = createRequire(import.meta.url)(path);

const launch = (name, handles, args) => {
  addon.handleArgs.set(handles);
  addon.numArgs.set(args);
  return addon.launch(addon.kernels.indexOf(name), handles.length, args.length);
};
const script = (source, env = {}) =>
  spawnSync(process.execPath, ['-e', `const a = require(${JSON.stringify(path)}); ${source}`], {
    encoding: 'utf8',
    env: { ...process.env, ...env },
  });

test('buffers round-trip through every kind of view and byte offset', () => {
  const h = addon.alloc(16);
  addon.write(h, new Float32Array([1, 2, 3, 4]));
  addon.write(h, new DataView(new Float32Array([9]).buffer), 8);
  const out = new Float32Array(2);
  addon.read(h, out, 4);
  assert.deepEqual([...out], [2, 9]);
  assert.throws(() => addon.write(h, new Uint8Array(17)), { code: 'ERR_OUT_OF_RANGE' });
  assert.throws(() => addon.read(h, new Uint8Array(8), 12), { code: 'ERR_OUT_OF_RANGE' });
  assert.throws(() => addon.read(h, new Uint8Array(8), -1), { code: 'ERR_OUT_OF_RANGE' });
  assert.throws(() => addon.write(h, 'text'), { code: 'ERR_INVALID_ARG_TYPE' });
  addon.free(h);
});

test('a freed handle stays dead, also when its slot is used again', () => {
  const first = addon.alloc(64);
  addon.free(first);
  const second = addon.alloc(64);
  assert.notEqual(first, second);
  assert.throws(() => addon.free(first), { code: 'ERR_UNIMOER_HANDLE' });
  assert.equal(launch('fill', [first], [0, 1, 0]), 1);
  assert.match(addon.lastError(), /fill: buffer 0 is not live/);
  addon.free(second);
});

test('an impossible request is a null handle and a message', () => {
  assert.equal(addon.alloc(1e15), 0);
  assert.match(addon.lastError(), /out of memory/);
  assert.throws(() => addon.alloc(Number.NaN), { code: 'ERR_INVALID_ARG_VALUE' });
});

test('launch refuses unknown kernels, wrong counts and short buffers', () => {
  assert.equal(addon.launch(9999, 0, 0), 1);
  assert.equal(addon.launch(0, 7, 7), 1);
  assert.match(addon.lastError(), /expected 1 and 3/);
  const h = addon.alloc(4);
  assert.equal(launch('fill', [h], [0, 2, 0]), 1);
  assert.equal(launch('fill', [h], [3, 1, 0]), 2);
  addon.free(h);
});

test('memory counters return to their start and the cache stays bounded', () => {
  const before = addon.memory().liveBytes;
  for (let round = 0; round < 200; round++) {
    const handles = Array.from({ length: 20 }, (_, i) => addon.alloc(1000 * (round + 1) * (i + 1)));
    for (const h of handles) addon.free(h);
  }
  const { liveBytes, peakBytes, cachedBytes } = addon.memory();
  assert.equal(liveBytes, before);
  assert.ok(cachedBytes <= peakBytes * 1.3 + 2 ** 26, `${cachedBytes} cached, peak ${peakBytes}`);
  addon.trim();
  assert.equal(addon.memory().cachedBytes, 0);
});

test('worker threads have their own handles and launch at the same time', async () => {
  const source = `
    const { workerData, parentPort } = require('node:worker_threads');
    const a = require(workerData);
    const n = 300;
    const [x, y, z] = [0, 1, 2].map(() => a.alloc(n * n * 4));
    a.write(x, new Float32Array(n * n).fill(1));
    a.write(y, new Float32Array(n * n).fill(2));
    const gemm = a.kernels.indexOf('gemm');
    let wrong = 0;
    for (let i = 0; i < 30; i++) {
      a.handleArgs.set([x, y, z, 0]);
      a.numArgs.set([0, 0, 0, n, n, n, 0, 0, 1, 0]);
      const status = a.launch(gemm, 4, 10);
      const out = new Float32Array(n * n);
      a.read(z, out);
      if (status !== 0 || out.some((v) => v !== 2 * n)) wrong++;
    }
    parentPort.postMessage({ wrong, live: a.memory().liveBuffers });
  `;
  const runs = [1, 2, 3].map(
    () =>
      new Promise((resolve, reject) => {
        const worker = new Worker(source, { eval: true, workerData: path });
        let result;
        worker.on('message', (message) => {
          result = message;
        });
        worker.on('error', reject);
        worker.on('exit', (code) => resolve({ ...result, code }));
      }),
  );
  for (const result of await Promise.all(runs)) {
    assert.deepEqual(result, { wrong: 0, live: 3, code: 0 });
  }
});

test('a process ends cleanly with live buffers, threads awake, or loaded only in a worker', () => {
  const busy = script(`
    a.setThreads(4); const n = 512; const h = [0, 1, 2].map(() => a.alloc(n * n * 4));
    a.handleArgs.set([...h, 0]); a.numArgs.set([0, 0, 0, n, n, n, 0, 0, 1, 0]);
    console.log(a.launch(a.kernels.indexOf('gemm'), 4, 10));`);
  assert.deepEqual([busy.status, busy.stdout.trim()], [0, '0']);
  const source = `
    const { Worker } = require('node:worker_threads');
    new Worker('const a = require(' + JSON.stringify(${JSON.stringify(path)}) + '); a.alloc(1 << 22)',
      { eval: true }).on('exit', (code) => console.log(code));`;
  const worker = spawnSync(process.execPath, ['-e', source], { encoding: 'utf8' });
  assert.deepEqual([worker.status, worker.stdout.trim()], [0, '0']);
});

test('settings from the environment work or are refused by name', () => {
  const isas = addon.availableIsas();
  for (const isa of isas) {
    assert.equal(script('console.log(a.isa())', { UNIMOER_CPU_ISA: isa }).stdout.trim(), isa);
  }
  const unknown = script('', { UNIMOER_CPU_ISA: 'sse9' });
  assert.notEqual(unknown.status, 0);
  assert.match(unknown.stderr, /UNIMOER_CPU_ISA: got 'sse9', expected one of .*portable/);
  const threads = script('console.log(a.threads())', { UNIMOER_NUM_THREADS: '3' });
  assert.equal(threads.stdout.trim(), '3');
  assert.match(
    script('', { UNIMOER_NUM_THREADS: 'many' }).stderr,
    /UNIMOER_NUM_THREADS: got 'many', expected a whole number/,
  );
});

test('a product has the same bits for every number of threads', () => {
  const [m, n, k] = [517, 403, 611];
  const a = addon.alloc(m * k * 4);
  const b = addon.alloc(k * n * 4);
  const c = addon.alloc(m * n * 4);
  addon.write(
    a,
    Float32Array.from({ length: m * k }, (_, i) => Math.sin(i)),
  );
  addon.write(
    b,
    Float32Array.from({ length: k * n }, (_, i) => Math.cos(i)),
  );
  const results = [1, 2, 4].map((threads) => {
    addon.setThreads(threads);
    assert.equal(launch('gemm', [a, b, c, 0], [0, 0, 0, m, n, k, 0, 0, 1, 0]), 0);
    const out = new Uint8Array(m * n * 4);
    addon.read(c, out);
    return Buffer.from(out);
  });
  assert.ok(results[0].equals(results[1]) && results[0].equals(results[2]));
  for (const h of [a, b, c]) addon.free(h);
});
