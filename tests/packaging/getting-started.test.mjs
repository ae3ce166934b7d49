// "Getting started in TypeScript", followed word for word in an empty folder, and its page used by two people in Chromium.

import assert from 'node:assert/strict';
import { copyFile, mkdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

import { Document } from '../support/document.mjs';
import { built } from '../support/program.mjs';
import { TARBALL } from './project.mjs';

const root = fileURLToPath(new URL('../../', import.meta.url));
const DOCUMENT = join(root, 'docs/getting-started-typescript.md');

test('who follows "Getting started in TypeScript" has a chat that works', async () => {
  const document = await Document.follow(DOCUMENT, await emptyFolder(), {
    programs: [dirname(built('wirehub', 'WIREHUB'))],
    ports: ['8080', '3000'],
  });
  const browser = await chromium.launch({
    executablePath: process.env['CHROMIUM'] ?? '/usr/bin/chromium',
    // Without a sandbox, because CI runs as root, where Chromium's can't start.
    args: ['--no-sandbox'],
  });
  try {
    const problems = [];
    const [ann, ben] = [await browser.newPage(), await browser.newPage()];
    for (const page of [ann, ben]) {
      page.on('pageerror', (error) => problems.push(String(error)));
      await page.goto(document.here('http://127.0.0.1:8080/'));
      await page.getByRole('status').getByText('connected', { exact: true }).waitFor();
    }
    await ann.getByLabel('Message').fill('hi');
    await ann.getByRole('button', { name: 'Send' }).click();
    await ben.getByRole('listitem').getByText(/guest \d+: hi$/).waitFor();
    await ben.getByRole('button', { name: 'Roll' }).click();
    await ann.getByRole('listitem').getByText(/: I rolled [1-6]$/).waitFor();
    assert.deepEqual(problems, []);
  } finally {
    await browser.close();
    await document.end();
  }
});

/** A folder beside one called `wirehub`, in which the package lies. */
async function emptyFolder() {
  const [folder, wirehub] = ['chat', 'wirehub'].map((name) => join(root, 'target/packaging/getting-started', name));
  await rm(dirname(folder), { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  await mkdir(join(wirehub, 'target/npm'), { recursive: true });
  await copyFile(TARBALL, join(wirehub, 'target/npm/wirehub-client.tgz'));
  // The versions that these tests have: they are on this machine already.
  await copyFile(join(root, 'tests/packaging/package-lock.json'), join(folder, 'package-lock.json'));
  return folder;
}
