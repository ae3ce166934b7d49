// Projects beside the frameworks of this folder, with the packed package in them, and the programs that serve them.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { projectIn } from '../project.mjs';

/** This folder: its `node_modules` is also that of each project in it. */
export const HERE = fileURLToPath(new URL('.', import.meta.url));

/** A program of a package. */
export const program = (name) => join(HERE, 'node_modules/.bin', name);

/** A version of Node.js. They have a folder of their own, because each would become the `node` of the scripts in this one. */
export const node = (version) => join(HERE, `../node-versions/node_modules/node-${version}/bin/node`);

/** Makes a project of these files, and installs the package like a user. The folder's own packages stay as they are. */
export const project = (name, files) => projectIn(join(HERE, 'projects'), name, files, ['--no-package-lock', '--omit=peer']);

/** Runs a program until `use` has used it; it is ready when it prints `ready`. */
export async function running(command, args, { ready, ...options }, use) {
  // A group of its own, because it may start others.
  const child = spawn(command, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  let said = '';
  try {
    await new Promise((resolve, reject) => {
      for (const stream of [child.stdout, child.stderr]) {
        stream.setEncoding('utf8').on('data', (text) => {
          said += text;
          if (ready.test(said)) resolve();
        });
      }
      child.once('error', reject);
      child.once('exit', () => reject(new Error(`${command} has ended:\n${said}`)));
    });
    return await use();
  } catch (error) {
    throw new Error(`${error.message}\n${command} printed:\n${said}`, { cause: error });
  } finally {
    const ended = once(child, 'close');
    process.kill(-child.pid, 'SIGKILL');
    await ended;
  }
}
