// Empty projects with the packed package in them.

import { execFile } from 'node:child_process';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

export const run = promisify(execFile);

const root = fileURLToPath(new URL('../../', import.meta.url));

/** The package as it would be published. */
export const TARBALL = process.env['WIREHUB_TARBALL'] ?? join(root, 'target/npm/wirehub-client.tgz');

/** The demo server's endpoint. */
export const SERVER = process.env['WIREHUB_TEST_SERVER'];

/** Makes a project of these files, and installs the package like a user. */
export const project = (name, files) => projectIn(join(root, 'target/packaging'), name, files);

/** The same in another folder, with more flags of `npm install`. */
export async function projectIn(parent, name, files, flags = []) {
  const folder = join(parent, name);
  await rm(folder, { recursive: true, force: true });
  const all = { 'package.json': JSON.stringify({ name, private: true, type: 'module' }), ...files };
  for (const [path, text] of Object.entries(all)) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), text);
  }
  // It has no dependencies, so it needs no network.
  await run('npm', ['install', '--offline', '--no-fund', '--no-audit', ...flags, TARBALL], { cwd: folder });
  return folder;
}

/** A page that runs a script. */
export const html = (script) => `<!doctype html>
<html lang="en">
  <head><meta charset="utf-8"><title>packaging</title></head>
  <body><script type="module" src="${script}"></script></body>
</html>
`;

/**
 * Publishes in a room, receives the message, and reports it. `entry` is the import's name, `options` go to connect().
 */
export const chat = (entry, { report, server, before = '', options = '' }) => `
import { connect, WirehubError } from '${entry}';
${before}
try {
  const client = await connect(${server}, { name: 'packaging'${options} });
  const room = 'chat:packaging-' + Math.random().toString(36).slice(2);
  const subscription = client.subscribe(room);
  await subscription.ready;
  const heard = subscription[Symbol.asyncIterator]().next();
  await client.publish(room, { nick: 'ann', text: 'hi' });
  const { value } = await heard;
  await client.close();
  ${report}({ heard: value.data, state: client.state });
} catch (error) {
  ${report}({ failed: String(error), code: error instanceof WirehubError ? error.code : undefined });
}
`;

/** The report of a success. */
export const HEARD = { heard: { nick: 'ann', text: 'hi' }, state: 'closed' };

/** The first block of a guide whose first line, behind the fence, is this. */
export async function blockOf(guide, first) {
  const text = await readFile(join(root, 'docs/guides', guide), 'utf8');
  const block = text.split('\n```').find((part) => part.startsWith(first));
  if (block === undefined) throw new Error(`${guide} has no block ${first}`);
  return block.slice(block.indexOf('\n') + 1);
}
