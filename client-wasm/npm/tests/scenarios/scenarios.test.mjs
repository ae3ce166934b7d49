// The table of scenarios with the npm package, in each browser and in Node.js.
//
//   WIREHUB_SCENARIOS  the address of the stage, `host:port`

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';

import * as inNode from '../../dist/node.js';
import { BROWSERS } from '../server/browsers.mjs';
import { Site } from '../server/server.mjs';
import { playAll } from './player.mjs';

const STAGE = `ws://${process.env['WIREHUB_SCENARIOS'] ?? '127.0.0.1:47812'}`;

test('the package in Node.js does as the table says', async () => {
  const { names, failures } = await playAll(inNode, STAGE);
  assert.ok(names.length > 10);
  assert.equal(failures, '');
});

for (const [name, start] of Object.entries(BROWSERS)) {
  test(`the package in ${name} does as the table says`, async (t) => {
    const site = await Site.start();
    t.after(() => site.stop());
    const browser = await start();
    t.after(() => browser.stop());
    const page = await browser.open(site.origin);
    const player = await readFile(new URL('player.mjs', import.meta.url), 'utf8');
    const { names, failures } = await page.evaluate(playInPage, { player, stage: STAGE });
    assert.ok(names.length > 10);
    assert.equal(failures, '');
  });
}

async function playInPage({ player, stage }) {
  const { playAll } = await import(URL.createObjectURL(new Blob([player], { type: 'text/javascript' })));
  return playAll(await import('/dist/index.js'), stage);
}
