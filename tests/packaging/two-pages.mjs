// The page of a document, used by two people in Chromium.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

export const root = fileURLToPath(new URL('../../', import.meta.url));

/** The versions that these tests have: they are on this machine already. */
export const LOCK = join(root, 'tests/packaging/package-lock.json');

const PAGE = 'http://127.0.0.1:8080/';

/** Opens the page of a document in two windows, and ends the document afterwards. A page must not report an error. */
export async function inTwoPages(document, use) {
  let browser;
  try {
    browser = await chromium.launch({
      executablePath: process.env['CHROMIUM'] ?? '/usr/bin/chromium',
      // Without a sandbox, because CI runs as root, where Chromium's can't start.
      args: ['--no-sandbox'],
    });
    const problems = [];
    const [ann, ben] = [await browser.newPage(), await browser.newPage()];
    for (const page of [ann, ben]) {
      page.on('pageerror', (error) => problems.push(String(error)));
      await page.goto(document.here(PAGE));
      await page.getByRole('status').getByText('connected', { exact: true }).waitFor();
    }
    await use(ann, ben);
    assert.deepEqual(problems, []);
  } finally {
    await browser?.close();
    await document.end();
  }
}

/** Sends a line. */
export async function say(page, text) {
  await page.getByLabel('Message').fill(text);
  await page.getByRole('button', { name: 'Send' }).click();
}
