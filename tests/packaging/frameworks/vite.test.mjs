// The packed package in earlier versions of Vite, in Chromium against the demo server. ../bundlers.test.mjs has the newest.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import * as vite5 from 'vite5';
import * as vite6 from 'vite6';
import * as vite7 from 'vite7';

import { chat, HEARD, html } from '../project.mjs';
import { IN_PAGE, reportOf, visit } from '../web.mjs';
import { project } from './place.mjs';

for (const vite of [vite5, vite6, vite7]) {
  const [major] = vite.version.split('.');
  const files = { 'index.html': html('/src/main.js'), 'src/main.js': withoutTopLevelAwait(chat('@wirehub/client', IN_PAGE)) };
  const common = { configFile: false, logLevel: 'warn' };

  test(`the development server of Vite ${major}`, async () => {
    const root = await project(`vite-${major}-dev`, files);
    const server = await vite.createServer({ ...common, root, server: { host: '127.0.0.1', port: 0 } });
    await server.listen();
    try {
      assert.deepEqual(await visit(server.resolvedUrls.local[0]), HEARD);
    } finally {
      await server.close();
    }
  });

  test(`a project built by Vite ${major}`, async () => {
    const root = await project(`vite-${major}-build`, files);
    await vite.build({ ...common, root });
    assert.deepEqual(await reportOf(join(root, 'dist')), HEARD);
  });
}

/** Vite 5 and 6 build for browsers that do not have it. */
function withoutTopLevelAwait(script) {
  return `${script.replace(/^try \{/m, 'async function talk() {\n  try {')}}\nvoid talk();\n`;
}
