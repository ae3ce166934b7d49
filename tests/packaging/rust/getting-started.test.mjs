// "Getting started in Rust", followed word for word in an empty folder, and its page used by two people in Chromium. It may
// compile the server, so it has more time than the tests in the folder above.

import { copyFile, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { Document } from '../../support/document.mjs';
import { inTwoPages, LOCK, root, say } from '../two-pages.mjs';

test('who follows "Getting started in Rust" has a page that works', async () => {
  // Not within the repository: cargo would look for the package in its workspace.
  const folder = await mkdtemp(join(tmpdir(), 'wirehub-getting-started-'));
  try {
    await mkdir(join(folder, 'page'));
    await copyFile(join(root, 'Cargo.lock'), join(folder, 'Cargo.lock'));
    await copyFile(LOCK, join(folder, 'page/package-lock.json'));
    const document = await Document.follow(join(root, 'docs/getting-started-rust.md'), folder, {
      programs: [],
      ports: ['8080'],
      environment: cargoEnvironment(),
      repository: root,
    });
    await inTwoPages(document, async (ann, ben) => {
      await say(ann, 'hi');
      await ben.getByRole('listitem').getByText(/guest \d+: hi$/).waitFor();
      await say(ben, '/roll');
      await ann.getByRole('listitem').getByText(/: I rolled [1-6]$/).waitFor();
    });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

/** The workspace's compiled crates are used again, as in server/cli/tests/program/guides.rs. */
function cargoEnvironment() {
  const own = Object.entries(process.env).filter(([name]) => !/^CARGO_(PKG|MANIFEST)_/.test(name));
  return {
    ...Object.fromEntries(own),
    CARGO_TARGET_DIR: join(root, 'target'),
    CARGO_PROFILE_DEV_DEBUG: 'line-tables-only',
    CARGO_NET_OFFLINE: 'true',
  };
}
