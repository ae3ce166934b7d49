// The packed package itself, examined by the usual checkers of packages.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'node:test';
import { publint } from 'publint';
import { formatMessage } from 'publint/utils';

import { project, run, TARBALL } from './project.mjs';

test('publint has nothing to say', async () => {
  const folder = join(await project('publint', {}), 'node_modules/@wirehub/client');
  const { messages, pkg } = await publint({ pkgDir: folder, level: 'suggestion', strict: true, pack: false });
  assert.deepEqual(messages.map((message) => formatMessage(message, pkg, { color: false })), []);
});

test('the types are right in every module system', async () => {
  const attw = fileURLToPath(new URL('node_modules/.bin/attw', import.meta.url));
  // The files for bundlers have no types. The checker fails if there is a problem.
  await run(process.execPath, [attw, TARBALL, '--profile', 'esm-only', '--exclude-entrypoints', 'wirehub.wasm']);
});

test('the package contains only the files it needs', async () => {
  const { stdout } = await run('tar', ['-tzf', TARBALL]);
  const files = stdout.trim().split('\n').map((path) => path.replace(/^package\//, ''));
  assert.deepEqual(files.filter((path) => !/^(package\.json|README\.md|LICENSE.*|dist\/.+\.(js|d\.ts|wasm))$/.test(path)), []);
  for (const file of ['dist/index.js', 'dist/node.js', 'dist/inline.js', 'dist/index.d.ts', 'dist/wasm/wirehub_bg.wasm']) {
    assert.ok(files.includes(file), file);
  }
});
