// The time for a message in Chromium, from the network to the end of its handler: through @wirehub/client, and over a
// plain WebSocket with JSON.parse, in turns. `cargo xtask bench browser` builds the package and runs this.
//
//   node bench/browser/receive.mjs [rounds, default 5] [messages, default 200000]
//
//   CHROMIUM   the browser (default: /usr/bin/chromium)

import { once } from 'node:events';

import { launch } from '../../client-wasm/npm/tests/browser/browser.mjs';
import { encodeMessage, Hub, welcome } from '../../client-wasm/npm/tests/browser/hub.mjs';
import { ANSWER, frame, nested, number, text } from '../../client-wasm/npm/tests/protocol.mjs';

const MESSAGES = Number(process.argv[3] ?? 200_000);
const BYTES = 130;
const BATCH = 64;
/** The bytes that the server passes to the system at once. */
const WRITE_BYTES = 64 * 1024;

const payloads = Array.from({ length: MESSAGES }, (_, id) => {
  const start = `{"id":${id},"text":"`;
  return `${start}${'x'.repeat(BYTES - start.length - 2)}"}`;
});

/**
 * The measurements: the messages of the server, and their handling in the page. Each group begins with what a page without
 * the package would do.
 */
const GROUPS = [
  {
    name: 'one by one',
    ways: [
      { name: 'plain WebSocket, JSON.parse', path: '/plain', writes: inWrites(payloads.map(encodeMessage)), page: plain },
      { name: '@wirehub/client, listener', path: '/ws', writes: inWrites(batches(1)), page: listen },
      { name: '@wirehub/client, for await', path: '/ws', writes: inWrites(batches(1)), page: iterate },
    ],
  },
  {
    name: `${BATCH} in a batch`,
    ways: [
      { name: 'plain WebSocket, an array, JSON.parse', path: '/plain', writes: inWrites(arrays()), page: plainArrays },
      { name: '@wirehub/client, listener', path: '/ws', writes: inWrites(batches(BATCH)), page: listen },
      { name: '@wirehub/client, for await', path: '/ws', writes: inWrites(batches(BATCH)), page: iterate },
    ],
  },
];

const rounds = Number(process.argv[2] ?? 5);
let newest;
const hub = await Hub.start((connection) => {
  newest = connection;
  if (connection.path === '/ws') welcome(connection);
});
const browser = await launch();
try {
  const ways = GROUPS.flatMap((group) => group.ways);
  const times = new Map(ways.map((way) => [way, []]));
  for (let round = 0; round < rounds; round++) {
    for (const way of ways) times.get(way).push(await measure(way));
  }
  console.log(`microseconds a message, ${MESSAGES} messages of ${BYTES} bytes, median of ${rounds} (lowest to highest)`);
  for (const { name: group, ways } of GROUPS) {
    console.log(group);
    const plain = times.get(ways[0]);
    for (const way of ways) {
      const all = times.get(way);
      const [low, middle, high] = [Math.min(...all), median(all), Math.max(...all)].map((time) => time.toFixed(2));
      // Of the same round: other programs slow down a whole round.
      const ratio = median(all.map((time, round) => time / plain[round])).toFixed(2);
      console.log(`${middle.padStart(7)}  (${low} to ${high})  ${ratio} times the first  ${way.name}`);
    }
  }
} finally {
  await browser.close();
  await hub.stop();
}

/** A page of its own for each measurement; returns microseconds a message. */
async function measure({ path, writes, page: way }) {
  const page = await browser.newPage();
  await page.goto(hub.origin);
  await page.exposeFunction('go', () => void push(writes));
  const milliseconds = await page.evaluate(way, { path, messages: MESSAGES });
  await page.close();
  if (hub.connections > 0) await once(newest, 'close');
  return (milliseconds * 1000) / MESSAGES;
}

async function push(writes) {
  for (const bytes of writes) {
    newest.write(bytes);
    await newest.drained();
  }
}

/** The usual optimisation of a program without the package. */
function arrays() {
  const messages = [];
  for (let from = 0; from < payloads.length; from += BATCH) messages.push(encodeMessage(`[${payloads.slice(from, from + BATCH).join()}]`));
  return messages;
}

function batches(size) {
  const messages = [];
  for (let from = 0; from < payloads.length; from += size) {
    const frames = payloads.slice(from, from + size).map(publication);
    messages.push(encodeMessage(new Uint8Array(frames.flat())));
  }
  return messages;
}

function publication(payload) {
  const publisher = [...text(1, 'session-1'), ...text(2, 'ann')];
  return frame(0, ANSWER.publication, [...text(1, 'news'), ...text(3, payload), ...number(4, 1_700_000_000_000), ...nested(5, publisher)]);
}

function inWrites(frames) {
  const writes = [];
  for (let from = 0; from < frames.length; ) {
    let to = from;
    for (let bytes = 0; to < frames.length && bytes < WRITE_BYTES; to++) bytes += frames[to].length;
    writes.push(Buffer.concat(frames.slice(from, to)));
    from = to;
  }
  return writes;
}

function median(numbers) {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)];
}

// --- In the page: each returns the milliseconds from the server's start to the end of the last handler ---

function plain({ path, messages }) {
  return new Promise((resolve) => {
    const socket = new WebSocket(`ws://${location.host}${path}`);
    let [heard, sum, started] = [0, 0, 0];
    socket.onmessage = ({ data }) => {
      sum += JSON.parse(data).id;
      if (++heard === messages) resolve(performance.now() - started);
    };
    socket.onopen = () => {
      started = performance.now();
      globalThis.go();
    };
  });
}

function plainArrays({ path, messages }) {
  return new Promise((resolve) => {
    const socket = new WebSocket(`ws://${location.host}${path}`);
    let [heard, sum, started] = [0, 0, 0];
    socket.onmessage = ({ data }) => {
      for (const { id } of JSON.parse(data)) {
        sum += id;
        if (++heard === messages) resolve(performance.now() - started);
      }
    };
    socket.onopen = () => {
      started = performance.now();
      globalThis.go();
    };
  });
}

async function listen({ path, messages }) {
  const { connect } = await import('/dist/index.js');
  const client = await connect(path);
  const news = client.subscribe('news');
  await news.ready;
  let [heard, sum] = [0, 0];
  const all = new Promise((resolve) => {
    news.addEventListener('publication', ({ publication }) => {
      sum += publication.data.id;
      if (++heard === messages) resolve(performance.now());
    });
  });
  const started = performance.now();
  globalThis.go();
  return (await all) - started;
}

async function iterate({ path, messages }) {
  const { connect } = await import('/dist/index.js');
  const client = await connect(path);
  const news = client.subscribe('news', { queue: { bytes: Infinity } });
  await news.ready;
  let [heard, sum] = [0, 0];
  const started = performance.now();
  globalThis.go();
  for await (const { data } of news) {
    sum += data.id;
    if (++heard === messages) break;
  }
  return performance.now() - started;
}
