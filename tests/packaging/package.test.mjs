// The packed package itself, examined by the usual checkers of packages.

import assert from 'node:assert/strict';
import { readFile, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { test } from 'node:test';
import { publint } from 'publint';
import { formatMessage } from 'publint/utils';

import { project, run, TARBALL } from './project.mjs';

const SCRIPTS = ['index', 'node', 'inline', 'workerd', 'react'].map((name) => `dist/${name}.js`);

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
  assert.deepEqual(files.filter((path) => !/^(package\.json|README\.md|LICENSE-(MIT|APACHE)|dist\/.+\.(js|js\.map|d\.ts|wasm))$/.test(path)), []);
  for (const file of ['dist/index.d.ts', 'dist/wasm/wirehub_bg.wasm', ...SCRIPTS, 'LICENSE-MIT', 'LICENSE-APACHE']) {
    assert.ok(files.includes(file), file);
  }
});

test('package.json refers only to files that are packed', async () => {
  const folder = await installed('references');
  const strings = (value) => (typeof value === 'string' ? [value] : Object.values(value ?? {}).flatMap(strings));
  const manifest = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8'));
  const { main, types, typesVersions, exports, imports } = manifest;
  for (const path of strings({ main, types, typesVersions, exports, imports })) assert.ok((await stat(join(folder, path))).isFile(), path);
});

test('each script has a source map with its sources', async () => {
  const folder = await installed('maps');
  for (const script of SCRIPTS) {
    const [, name] = /\n\/\/# sourceMappingURL=(.+)\n$/.exec(await readFile(join(folder, script), 'utf8'));
    const { sources, sourcesContent, mappings } = JSON.parse(await readFile(join(folder, dirname(script), name), 'utf8'));
    assert.ok(mappings.length > 1000 && sources.length > 5, script);
    assert.deepEqual(sources.filter((_, at) => typeof sourcesContent[at] !== 'string'), [], script);
  }
});

test('the script and the module say the version of the package', async () => {
  const folder = await installed('version');
  const { version } = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8'));
  for (const script of SCRIPTS) assert.ok((await readFile(join(folder, script), 'utf8')).startsWith(`/*! @wirehub/client ${version},`), script);
  assert.equal((await import(pathToFileURL(join(folder, 'dist/node.js')).href)).version, version);
  const module = await WebAssembly.compile(await readFile(join(folder, 'dist/wasm/wirehub_bg.wasm')));
  const [section] = WebAssembly.Module.customSections(module, 'wirehub');
  assert.ok(Buffer.from(section).toString().startsWith(`${version}+`));
});

test('the types of each entry are found by the old resolution of modules', async () => {
  const folder = await project('node10', {
    'tsconfig.json': JSON.stringify({
      compilerOptions: { noEmit: true, strict: true, target: 'es2022', lib: ['es2022', 'dom', 'esnext.disposable'], module: 'esnext', moduleResolution: 'node', types: [] },
    }),
    'main.ts': "import { connect } from '@wirehub/client';\nimport { Client } from '@wirehub/client/inline';\nvoid connect('/ws');\nvoid new Client<{ channels: { a: string }; calls: {} }>('/ws').publish('a', 'b');\n",
  });
  const tsc = fileURLToPath(new URL('node_modules/typescript-5/bin/tsc', import.meta.url));
  const { stdout } = await run(process.execPath, [tsc, '--project', '.'], { cwd: folder }).catch((error) => error);
  assert.equal(stdout, '');
});

async function installed(name) {
  return join(await project(name, {}), 'node_modules/@wirehub/client');
}
