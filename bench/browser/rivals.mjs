// Other clients beside @wirehub/client: their sizes, and the half of a server that each needs to receive messages. They are
// installed in a folder of the measurement's own, and are no dependencies of the project.

import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { gzipSync } from 'node:zlib';

const { build } = createRequire(new URL('../../client-wasm/npm/', import.meta.url))('esbuild');

/** The versions that the figures in bench/README.md are of. */
const VERSIONS = { centrifuge: '5.8.0', 'socket.io-client': '4.8.4' };

const DIST = new URL('../../client-wasm/npm/dist/', import.meta.url);

/** Installs and bundles them, if that has not happened. Returns the folder of the bundles. */
export async function install() {
  const folder = fileURLToPath(new URL('../../target/bench/rivals/', import.meta.url));
  mkdirSync(folder, { recursive: true });
  const wanted = Object.entries(VERSIONS).map(([name, version]) => `${name}@${version}`);
  execFileSync('npm', ['install', '--prefix', folder, '--no-save', '--no-audit', '--no-fund', '--ignore-scripts', ...wanted], { stdio: ['ignore', 'ignore', 'inherit'] });
  for (const name of Object.keys(VERSIONS)) {
    await build({
      stdin: { contents: `export * from '${name}';`, resolveDir: folder },
      bundle: true,
      minify: true,
      format: 'esm',
      platform: 'browser',
      outfile: `${folder}bundles/${name}.js`,
    });
  }
  return pathToFileURL(`${folder}bundles/`);
}

/** The size of each client, minified and with `gzip -9`, with everything that it exports. */
export async function sizes(bundles) {
  const compressed = async (...files) => {
    let bytes = 0;
    for (const file of files) bytes += gzipSync(await readFile(file), { level: 9 }).length;
    return bytes;
  };
  const rows = [['@wirehub/client (module and script)', await compressed(new URL('index.js', DIST), new URL('wasm/wirehub_bg.wasm', DIST))]];
  for (const [name, version] of Object.entries(VERSIONS)) rows.push([`${name} ${version}`, await compressed(new URL(`${name}.js`, bundles))]);
  return rows;
}

/** Messages of Centrifugo's JSON protocol, each of so many publications. */
export function centrifugeMessages(payloads, size) {
  const messages = [];
  for (let from = 0; from < payloads.length; from += size) {
    messages.push(
      payloads
        .slice(from, from + size)
        .map((data) => `{"push":{"channel":"news","pub":{"data":${data},"info":{"client":"session-1","user":"ann"}}}}`)
        .join('\n'),
    );
  }
  return messages;
}

/** Plays the server of centrifuge-js: accepts the client and its subscription. */
export function welcomeCentrifuge(connection) {
  connection.on('message', (message) => {
    for (const line of message.split('\n').filter(Boolean)) {
      const { id, connect, subscribe } = JSON.parse(line);
      if (connect) connection.send(JSON.stringify({ id, connect: { client: 'session-1', version: 'test', ping: 60, pong: true } }));
      else if (subscribe) connection.send(JSON.stringify({ id, subscribe: {} }));
    }
  });
}

/** Messages of Socket.IO, whose WebSocket messages have one event each. */
export const socketIoMessages = (payloads) => payloads.map((data) => `42["news",${data}]`);

/** Plays the server of socket.io-client. */
export function welcomeSocketIo(connection) {
  connection.send(`0${JSON.stringify({ sid: 'session-1', upgrades: [], pingInterval: 60_000, pingTimeout: 60_000, maxPayload: 1_000_000 })}`);
  connection.on('message', (message) => {
    if (message.startsWith('40')) connection.send('40{"sid":"session-1"}');
  });
}

// --- In the page: each returns the milliseconds from the server's start to the end of the last handler, and calls
// `warm` after the first messages ---

export async function centrifuge({ path, messages, first }) {
  const { Centrifuge } = await import('/rivals/centrifuge.js');
  const client = new Centrifuge(`ws://${location.host}${path}`);
  const news = client.newSubscription('news');
  let [heard, sum] = [0, 0];
  const all = new Promise((resolve) => {
    news.on('publication', ({ data }) => {
      sum += data.id;
      if (++heard === first) globalThis.warm();
      if (heard === messages) resolve(performance.now());
    });
  });
  news.subscribe();
  client.connect();
  await news.ready();
  const started = performance.now();
  globalThis.go();
  return (await all) - started;
}

export async function socketIo({ path, messages, first }) {
  const { io } = await import('/rivals/socket.io-client.js');
  const socket = io(`http://${location.host}`, { path, transports: ['websocket'] });
  let [heard, sum] = [0, 0];
  const all = new Promise((resolve) => {
    socket.on('news', (data) => {
      sum += data.id;
      if (++heard === first) globalThis.warm();
      if (heard === messages) resolve(performance.now());
    });
  });
  await new Promise((resolve) => socket.on('connect', resolve));
  const started = performance.now();
  globalThis.go();
  return (await all) - started;
}
