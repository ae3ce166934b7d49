// "Getting started in TypeScript", followed word for word in an empty folder, and its page used by two people in Chromium.

import { copyFile, mkdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { test } from 'node:test';

import { Document } from '../support/document.mjs';
import { built } from '../support/program.mjs';
import { TARBALL } from './project.mjs';
import { inTwoPages, LOCK, root, say } from './two-pages.mjs';

test('who follows "Getting started in TypeScript" has a chat that works', async () => {
  const document = await Document.follow(join(root, 'docs/getting-started-typescript.md'), await emptyFolder(), {
    programs: [dirname(built('wirehub', 'WIREHUB'))],
    ports: ['8080', '3000'],
  });
  await inTwoPages(document, async (ann, ben) => {
    await say(ann, 'hi');
    await ben.getByRole('listitem').getByText(/guest \d+: hi$/).waitFor();
    await ben.getByRole('button', { name: 'Roll' }).click();
    await ann.getByRole('listitem').getByText(/: I rolled [1-6]$/).waitFor();
  });
});

/** A folder beside one called `wirehub`, in which the package lies. */
async function emptyFolder() {
  const [folder, wirehub] = ['chat', 'wirehub'].map((name) => join(root, 'target/packaging/getting-started', name));
  await rm(dirname(folder), { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  await mkdir(join(wirehub, 'target/npm'), { recursive: true });
  await copyFile(TARBALL, join(wirehub, 'target/npm/wirehub-client.tgz'));
  await copyFile(LOCK, join(folder, 'package-lock.json'));
  return folder;
}
