// The packed package in Node.js: as a client, and in server-side rendering.

import assert from 'node:assert/strict';
import { cp } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'node:test';

import { chat, HEARD, project, run, SERVER } from './project.mjs';

const IN_NODE = {
  report: '((report) => console.log(JSON.stringify(report)))',
  server: `'${SERVER}'`,
};

/** Runs a project's file in a process of its own. The test includes that it ends. */
async function node(folder, file = 'main.js') {
  const { stdout, stderr } = await run(process.execPath, [file], { cwd: folder, timeout: 30_000 });
  assert.equal(stderr, '');
  return JSON.parse(stdout);
}

async function withWs(name, script) {
  const folder = await project(name, { 'main.js': script });
  await cp(fileURLToPath(new URL('node_modules/ws', import.meta.url)), join(folder, 'node_modules/ws'), { recursive: true });
  return folder;
}

for (const entry of ['@wirehub/client', '@wirehub/client/inline']) {
  const name = entry.replaceAll(/\W/g, '-');

  test(`${entry} with the WebSocket of the package ws`, async () => {
    const script = chat(entry, { ...IN_NODE, before: "import { WebSocket } from 'ws';", options: ', webSocket: WebSocket' });
    assert.deepEqual(await node(await withWs(`node${name}`, script)), HEARD);
  });

  test(`${entry} with a WebSocket that is everywhere`, async () => {
    // Node.js has it since 22.
    const before = "import { WebSocket } from 'ws'; globalThis.WebSocket ??= WebSocket;";
    assert.deepEqual(await node(await withWs(`node-global${name}`, chat(entry, { ...IN_NODE, before }))), HEARD);
  });

  test(`importing ${entry} where a page is rendered touches nothing`, async () => {
    const script = `
      const before = Reflect.ownKeys(globalThis).map(String);
      const { Client } = await import('${entry}');
      const client = new Client('https://app.example/ws');
      // The files that were read are closed.
      for (let turn = 0; turn < 10; turn += 1) await new Promise(setImmediate);
      const after = Reflect.ownKeys(globalThis).map(String);
      console.log(JSON.stringify({
        state: client.state,
        globals: after.filter((name) => !before.includes(name)),
        resources: process.getActiveResourcesInfo().filter((name) => !/^(TTY|Pipe)Wrap$/.test(name)),
      }));
    `;
    const folder = await project(`ssr${name}`, { 'main.js': script });
    assert.deepEqual(await node(folder), { state: 'disconnected', globals: [], resources: [] });
  });
}

test('without any WebSocket the failure has the remedy', async () => {
  const before = 'delete globalThis.WebSocket;';
  const { failed, code } = await node(await project('node-none', { 'main.js': chat('@wirehub/client', { ...IN_NODE, before }) }));
  assert.equal(code, 107);
  assert.match(failed, /package ws/);
});
