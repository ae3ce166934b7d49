// The packed package in projects of the usual bundlers, in Chromium against the demo server.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'node:test';
import * as esbuild from 'esbuild';
import * as vite from 'vite';
import webpack from 'webpack';

import { built, Program } from '../support/program.mjs';
import { heard, inTwoPages } from './pages.mjs';
import { blockOf, chat, HEARD, html, project } from './project.mjs';
import { IN_PAGE, reportOf, visit } from './web.mjs';

const app = (entry = '@wirehub/client', more = {}) => chat(entry, { ...IN_PAGE, ...more });

/** Checks that a bundler's output works. */
const works = async (folder) => assert.deepEqual(await reportOf(folder), HEARD);

test('a project built by Vite', async () => {
  const folder = await project('vite-build', { 'index.html': html('/src/main.js'), 'src/main.js': app() });
  await vite.build({ root: folder, logLevel: 'warn', configFile: false });
  await works(join(folder, 'dist'));
});

test("a project in Vite's development server", async () => {
  const folder = await project('vite-dev', { 'index.html': html('/src/main.js'), 'src/main.js': app() });
  const server = await vite.createServer({
    root: folder,
    configFile: false,
    logLevel: 'warn',
    server: { host: '127.0.0.1', port: 0 },
  });
  await server.listen();
  try {
    assert.deepEqual(await visit(server.resolvedUrls.local[0]), HEARD);
  } finally {
    await server.close();
  }
});

test('a project built by webpack', async () => {
  const folder = await project('webpack', { 'dist/index.html': html('main.js'), 'src/main.js': app() });
  const compiler = webpack({
    context: folder,
    mode: 'production',
    entry: './src/main.js',
    output: { path: join(folder, 'dist') },
    // The warning about size is meant for the first load of a page.
    performance: false,
  });
  const stats = await new Promise((resolve, reject) => compiler.run((error, stats) => (error ? reject(error) : resolve(stats))));
  assert.deepEqual(stats.toJson({ all: false, errors: true, warnings: true }).errors, []);
  await works(join(folder, 'dist'));
});

test('a project built by esbuild, which takes the module along where it is imported', async () => {
  const before = "import module from '@wirehub/client/wirehub.wasm';";
  const options = ', wasm: new URL(module, import.meta.url)';
  const folder = await project('esbuild', { 'dist/index.html': html('main.js'), 'src/main.js': app(undefined, { before, options }) });
  await esbuild.build({
    absWorkingDir: folder,
    entryPoints: ['src/main.js'],
    outdir: 'dist',
    bundle: true,
    format: 'esm',
    loader: { '.wasm': 'file' },
    logLevel: 'warning',
  });
  await works(join(folder, 'dist'));
});

test('the inline entry needs nothing of its bundler', async () => {
  const folder = await project('esbuild-inline', { 'dist/index.html': html('main.js'), 'src/main.js': app('@wirehub/client/inline') });
  await esbuild.build({ absWorkingDir: folder, entryPoints: ['src/main.js'], outdir: 'dist', bundle: true, format: 'esm', logLevel: 'warning' });
  await works(join(folder, 'dist'));
});

test("the board of the guide for React, in Vite's development server with React 18", async () => {
  const folder = await project('react-18', {
    'index.html': html('/main.tsx').replace('<body>', '<body><main></main>'),
    'board.tsx': await blockOf('react.md', "tsx\n'use client'"),
    'main.tsx': `
      import { StrictMode } from 'react';
      import { createRoot } from 'react-dom/client';
      import { App } from './board';
      createRoot(document.querySelector('main')!).render(<StrictMode><App url={new URLSearchParams(location.search).get('server')!} /></StrictMode>);
    `,
    'wirehub.toml': await blockOf('react.md', 'toml wirehub.toml'),
  });
  const own = (name) => fileURLToPath(new URL(`node_modules/${name}`, import.meta.url));
  const hub = await Program.start(built('wirehub', 'WIREHUB'), ['serve', '--config', join(folder, 'wirehub.toml'), '--listen', '127.0.0.1:0']);
  const server = await vite.createServer({
    root: folder,
    configFile: false,
    logLevel: 'warn',
    // React is in the folder of these tests.
    resolve: { alias: { react: own('react'), 'react-dom': own('react-dom') } },
    server: { host: 'localhost', port: 0, fs: { strict: false } },
  });
  await server.listen();
  try {
    await inTwoPages(`${server.resolvedUrls.local[0]}?server=${hub.origin.replace('http', 'ws')}/ws`, async (ann, ben) => {
      await ann.getByRole('heading', { name: '2 here' }).waitFor();
      await heard(ann, ben, { field: 'Note', button: 'Add' });
    });
  } finally {
    await server.close();
    await hub.end('SIGTERM');
  }
});
