// The packed package in the usual runners of tests, with jsdom.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';

import { run } from '../project.mjs';
import { HERE, project } from './place.mjs';

/** A test of an application: a component with hooks, in StrictMode, whose client does not reach its server. */
const component = (imports) => `
${imports}
import { createElement as h, StrictMode, act } from 'react';
import { createRoot } from 'react-dom/client';
import { Client, Codes, version } from '@wirehub/client';
import { createHooks } from '@wirehub/client/react';

globalThis.IS_REACT_ACT_ENVIRONMENT = true;
const { Provider, useConnectionState, useSubscription } = createHooks();

function Room() {
  const { state } = useConnectionState();
  const { publications } = useSubscription('chat:lobby');
  return h('p', { role: 'status' }, state, ' ', publications.length);
}

test('a component renders and goes', async () => {
  expect(version).toMatch(/^\\d/);
  const root = createRoot(document.body.appendChild(document.createElement('main')));
  const client = new Client('/ws');
  expect(client.url).toBe('ws://localhost/ws'.replace('localhost', location.host));
  await act(async () => root.render(h(StrictMode, null, h(Provider, { url: '/ws' }, h(Room)))));
  expect(document.querySelector('[role=status]').textContent).toMatch(/^(connecting|reconnecting|disconnected) 0$/);
  await act(async () => root.unmount());
  await client.close();
  await expect(client.connect()).rejects.toMatchObject({ code: Codes.CLOSED });
});
`;

test('Jest with jsdom, and its native modules', async () => {
  const folder = await project('jest', { 'room.test.js': component("import { expect, test } from '@jest/globals';") });
  const jest = join(HERE, 'node_modules/jest/bin/jest.js');
  const { stderr } = await run(process.execPath, ['--experimental-vm-modules', '--no-warnings', jest, '--rootDir', '.', '--env', 'jsdom', '--transform', '{}'], { cwd: folder });
  assert.match(stderr, /1 passed/);
});

test('Vitest with jsdom', async () => {
  const folder = await project('vitest', { 'room.test.js': component("import { expect, test } from 'vitest';") });
  const vitest = join(HERE, 'node_modules/vitest/vitest.mjs');
  const { stdout } = await run(process.execPath, [vitest, 'run', '--environment', 'jsdom'], { cwd: folder, env: { ...process.env, NO_COLOR: '1' } });
  assert.match(stdout, /1 passed/);
});
