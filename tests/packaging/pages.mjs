// A page with a status and a form, used by two people in Chromium.

import assert from 'node:assert/strict';
import { chromium } from 'playwright-core';

/** Opens the page twice; `use` gets both. A page must not report an error. */
export async function inTwoPages(url, use) {
  const browser = await chromium.launch({
    executablePath: process.env['CHROMIUM'] ?? '/usr/bin/chromium',
    // Without a sandbox, because CI runs as root, where Chromium's can't start.
    args: ['--no-sandbox'],
  });
  const problems = [];
  try {
    const pages = [await browser.newPage(), await browser.newPage()];
    for (const page of pages) {
      page.on('pageerror', (error) => problems.push(String(error)));
      page.on('console', (message) => message.type() === 'error' && !message.location().url.endsWith('favicon.ico') && problems.push(message.text()));
      // A development server compiles the page now.
      await page.goto(url, { timeout: 90_000 });
      await page.getByRole('status').getByText('connected', { exact: true }).waitFor();
    }
    await use(...pages);
  } catch (error) {
    throw new Error(`${error.message}\nthe pages reported: ${problems.join('\n')}`, { cause: error });
  } finally {
    await browser.close();
  }
  assert.deepEqual(problems, []);
}

/** One says something, and the other hears it, once. */
export async function heard(from, to, { field = 'Message', button = 'Send', text = 'hi', line = new RegExp(`: ${text}$`) } = {}) {
  await from.getByLabel(field).fill(text);
  await from.getByRole('button', { name: button }).click();
  await to.getByRole('listitem').getByText(line).waitFor();
  assert.equal(await to.getByRole('listitem').count(), 1);
}
