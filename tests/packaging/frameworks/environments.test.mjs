// The packed package in newer versions of Node.js, in Deno, in Bun, and in workerd, the runtime of Cloudflare Workers.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import * as esbuild from 'esbuild';
import { Miniflare } from 'miniflare';

import { chat, HEARD, run, SERVER } from '../project.mjs';
import { node, program, project } from './place.mjs';

const PRINTED = { report: '((report) => console.log(JSON.stringify(report)))', server: `'${SERVER}'` };

// The first version with a global WebSocket, and a current one.
for (const version of [22, 26]) {
  test(`Node.js ${version} with its own WebSocket`, async () => {
    const folder = await project(`node-${version}`, { 'main.js': chat('@wirehub/client', PRINTED) });
    const { stdout } = await run(node(version), ['main.js'], { cwd: folder });
    assert.deepEqual(JSON.parse(stdout), HEARD);
  });
}

test('Deno', async () => {
  const folder = await project('deno', { 'main.js': chat('@wirehub/client', PRINTED) });
  const args = ['run', '--no-config', '--node-modules-dir=manual', '--allow-net=127.0.0.1', `--allow-read=${folder}`, 'main.js'];
  const { stdout } = await run(program('deno'), args, { cwd: folder, env: { ...process.env, NO_COLOR: '1', DENO_NO_UPDATE_CHECK: '1' } });
  assert.deepEqual(JSON.parse(stdout), HEARD);
});

test('Bun', async () => {
  const folder = await project('bun', { 'main.js': chat('@wirehub/client', PRINTED) });
  const { stdout } = await run(program('bun'), ['main.js'], { cwd: folder });
  assert.deepEqual(JSON.parse(stdout), HEARD);
});

test('a worker in workerd, bundled as by Wrangler', async () => {
  const folder = await project('workerd', {
    // Connections belong to a request, so this is not imported before there is one.
    'chat.js': chat('@wirehub/client', { report: '((report) => { globalThis.said = report; })', server: `'${SERVER}'` }),
    'worker.js': "export default { async fetch() { await import('./chat.js'); return Response.json(globalThis.said); } };",
  });
  await esbuild.build({
    absWorkingDir: folder,
    entryPoints: ['worker.js'],
    outdir: 'dist',
    bundle: true,
    format: 'esm',
    conditions: ['workerd', 'worker', 'browser'],
    loader: { '.wasm': 'copy' },
    logLevel: 'warning',
  });
  const script = await readFile(join(folder, 'dist/worker.js'), 'utf8');
  const [, module] = /from\s*"\.\/(.*?\.wasm)"/.exec(script);
  const miniflare = new Miniflare({
    compatibilityDate: '2026-04-01',
    modules: [
      { type: 'ESModule', path: 'worker.js', contents: script },
      { type: 'CompiledWasm', path: module, contents: await readFile(join(folder, 'dist', module)) },
    ],
  });
  try {
    const response = await miniflare.dispatchFetch('http://worker.test/');
    const said = await response.text();
    assert.ok(response.ok, said);
    assert.deepEqual(JSON.parse(said), HEARD);
  } finally {
    await miniflare.dispose();
  }
});
