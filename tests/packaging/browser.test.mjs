// The packed package in pages without a bundler.

import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';

import { built, Program } from '../support/program.mjs';
import { heard, inTwoPages } from './pages.mjs';
import { chat, HEARD, html, project } from './project.mjs';
import { IN_PAGE, reportOf } from './web.mjs';

const FILE = '/node_modules/@wirehub/client/dist/index.js';

const plain = (name) => project(name, { 'index.html': html('main.js'), 'main.js': chat(FILE, IN_PAGE) });

const policy = (scripts) => ({
  'content-security-policy': `default-src 'none'; script-src 'self' ${scripts}; connect-src 'self' ws://127.0.0.1:*`,
});

test("a module script needs no more of a content security policy than 'wasm-unsafe-eval'", async () => {
  assert.deepEqual(await reportOf(await plain('csp'), { headers: policy("'wasm-unsafe-eval'") }), HEARD);
});

test('without it the failure names the missing part', async () => {
  const { failed, code } = await reportOf(await plain('csp-strict'), { headers: policy('') });
  assert.equal(code, 125, failed);
  assert.match(failed, /Content Security Policy/);
});

test('a server that does not know the type of the module does no harm', async () => {
  for (const type of ['text/plain', 'application/octet-stream']) {
    assert.deepEqual(await reportOf(await plain('mime'), { types: { '.wasm': type } }), HEARD, type);
  }
});

test('a missing module is reported with its address', async () => {
  const script = chat(FILE, { ...IN_PAGE, options: ", wasm: '/nowhere.wasm'" });
  const { failed, code } = await reportOf(await project('missing', { 'index.html': html('main.js'), 'main.js': script }));
  assert.equal(code, 125);
  assert.match(failed, /nowhere\.wasm.*404/);
});

test('the page in one file of the README is a chat', async () => {
  const folder = await project('one-file', {});
  const readme = await readFile(join(folder, 'node_modules/@wirehub/client/README.md'), 'utf8');
  const [, page] = /^```html\n(.*?)^```$/ms.exec(readme);
  assert.ok(page.split('\n').length < 35, 'about 30 lines');
  await writeFile(join(folder, 'index.html'), page);
  const server = await Program.start(built('wirehub', 'WIREHUB'), ['serve', '--static', folder, '--listen', '127.0.0.1:0']);
  try {
    await inTwoPages(server.origin, (ann, ben) => heard(ann, ben, { line: / hi$/ }));
  } finally {
    await server.end('SIGTERM');
  }
});
