// The time for a message in Chromium, from the network to the end of its handler: through @wirehub/client, and over a
// plain WebSocket with JSON.parse, in turns. The processor's time of the page's thread hardly depends on what else runs. The
// first third of the messages is not counted: code is compiled meanwhile. `cargo xtask bench browser` builds the package and runs this.
//
//   node bench/browser/receive.mjs [rivals] [rounds, default 5] [messages that come one by one, default 20000]
//
// With `rivals`, centrifuge-js and socket.io-client are measured too: npm installs them for this in target/bench.
//
//   CHROMIUM   the browser (default: /usr/bin/chromium)

import { once } from 'node:events';

import { launch } from '../../client-wasm/npm/tests/browser/browser.mjs';
import { encodeMessage, Hub, welcome } from '../../client-wasm/npm/tests/browser/hub.mjs';
import { ANSWER, frame, nested, number, text } from '../../client-wasm/npm/tests/protocol.mjs';
import * as rivals from './rivals.mjs';

const withRivals = process.argv[2] === 'rivals';
const [ROUNDS = 5, MESSAGES = 20_000] = process.argv.slice(withRivals ? 3 : 2).map(Number);
const BATCH = 64;
/** In a batch a message takes a tenth of the time. */
const BATCHED = Math.ceil((MESSAGES * 8) / BATCH) * BATCH;
const BYTES = 130;
/** The bytes that the server passes to the system at once. */
const WRITE_BYTES = 64 * 1024;

const payloads = Array.from({ length: BATCHED }, (_, id) => {
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
    messages: MESSAGES,
    ways: [
      { name: 'plain WebSocket, JSON.parse', path: '/plain', writes: inWrites(payloads.slice(0, MESSAGES).map(encodeMessage), 1), page: plain },
      { name: '@wirehub/client, listener', path: '/ws', writes: inWrites(batches(1, MESSAGES), 1), page: listen },
      { name: '@wirehub/client, for await', path: '/ws', writes: inWrites(batches(1, MESSAGES), 1), page: iterate },
    ],
  },
  {
    name: `${BATCH} in a batch`,
    messages: BATCHED,
    ways: [
      { name: 'plain WebSocket, an array, JSON.parse', path: '/plain', writes: inWrites(arrays(), BATCH), page: plainArrays },
      { name: '@wirehub/client, listener', path: '/ws', writes: inWrites(batches(BATCH, BATCHED), BATCH), page: listen },
      { name: '@wirehub/client, for await', path: '/ws', writes: inWrites(batches(BATCH, BATCHED), BATCH), page: iterate },
    ],
  },
];

if (withRivals) {
  const [lone, batched] = GROUPS;
  const few = payloads.slice(0, MESSAGES);
  const write = (messages, size = 1) => inWrites(messages.map(encodeMessage), size);
  lone.ways.push(
    { name: 'centrifuge-js, listener', path: '/centrifuge', writes: write(rivals.centrifugeMessages(few, 1)), page: rivals.centrifuge },
    { name: 'socket.io-client, listener', path: '/socket.io/', writes: write(rivals.socketIoMessages(few)), page: rivals.socketIo },
  );
  batched.ways.push(
    { name: 'centrifuge-js, listener', path: '/centrifuge', writes: write(rivals.centrifugeMessages(payloads, BATCH), BATCH), page: rivals.centrifuge },
  );
}

let newest;
const bundles = withRivals ? await rivals.install() : undefined;
const hub = await Hub.start((connection) => {
  newest = connection;
  const { pathname } = new URL(connection.path, hub.origin);
  if (pathname === '/ws') welcome(connection);
  else if (pathname === '/centrifuge') rivals.welcomeCentrifuge(connection);
  else if (pathname === '/socket.io/') rivals.welcomeSocketIo(connection);
}, withRivals ? { '/rivals/': bundles } : {});
const browser = await launch();
try {
  const ways = GROUPS.flatMap(({ ways, messages }) => ways.map((way) => Object.assign(way, { messages })));
  const times = new Map(ways.map((way) => [way, []]));
  for (let round = 0; round < ROUNDS; round++) {
    for (const way of ways) times.get(way).push(await measure(way));
  }
  console.log(`microseconds a message of ${BYTES} bytes, median of ${ROUNDS}: by the processor (lowest to highest), and by the clock`);
  for (const { name: group, messages, ways } of GROUPS) {
    console.log(`${group}, ${messages} messages`);
    const plain = times.get(ways[0]);
    for (const way of ways) {
      const all = times.get(way);
      const used = all.map(({ processor }) => processor);
      const [low, middle, high] = [Math.min(...used), median(used), Math.max(...used)].map((time) => time.toFixed(2));
      // Of the same round: other programs slow down a whole round.
      const ratio = median(used.map((time, round) => time / plain[round].processor)).toFixed(2);
      const clock = median(all.map(({ wall }) => wall));
      console.log(`${middle.padStart(7)}  (${low} to ${high})  ${ratio} times the first  ${clock.toFixed(2).padStart(7)}  ${way.name}`);
    }
  }
  for (const [name, bytes] of withRivals ? await rivals.sizes(bundles) : []) console.log(`${(bytes / 1000).toFixed(1).padStart(7)} kB, minified, gzip -9  ${name}`);
} finally {
  await browser.close();
  await hub.stop();
}

/** A page of its own for each measurement; returns microseconds a message. */
async function measure({ path, writes, page: way, messages }) {
  const page = await browser.newPage();
  const devtools = await page.context().newCDPSession(page);
  await devtools.send('Performance.enable', { timeDomain: 'threadTicks' });
  // The processor's time in the tasks of the page's thread, in seconds.
  const used = async () => {
    const { metrics } = await devtools.send('Performance.getMetrics');
    return metrics.find(({ name }) => name === 'TaskDuration').value;
  };
  await page.goto(hub.origin);
  const first = writes.slice(0, writes.length / 3);
  const rest = writes.slice(first.length);
  let before;
  await page.exposeFunction('go', () => void push(first));
  await page.exposeFunction('warm', async () => {
    before = await used();
    void push(rest);
  });
  const milliseconds = await page.evaluate(way, { path, messages, first: count(first) });
  const processor = (await used()) - before;
  await page.close();
  if (hub.connections > 0) await once(newest, 'close');
  return { wall: (milliseconds * 1000) / messages, processor: (processor * 1_000_000) / count(rest) };
}

async function push(writes) {
  for (const { bytes } of writes) {
    newest.write(bytes);
    await newest.drained();
  }
}

/** The number of messages. */
function count(writes) {
  return writes.reduce((sum, { messages }) => sum + messages, 0);
}

/** The usual optimisation of a program without the package. */
function arrays() {
  const messages = [];
  for (let from = 0; from < payloads.length; from += BATCH) messages.push(encodeMessage(`[${payloads.slice(from, from + BATCH).join()}]`));
  return messages;
}

function batches(size, count) {
  const messages = [];
  for (let from = 0; from < count; from += size) {
    const frames = payloads.slice(from, from + size).map(publication);
    messages.push(encodeMessage(new Uint8Array(frames.flat())));
  }
  return messages;
}

function publication(payload) {
  const publisher = [...text(1, 'session-1'), ...text(2, 'ann')];
  return frame(0, ANSWER.publication, [...text(1, 'news'), ...text(3, payload), ...number(4, 1_700_000_000_000), ...nested(5, publisher)]);
}

/** WebSocket messages of so many messages each, as the server passes them to the system. */
function inWrites(frames, size) {
  const writes = [];
  for (let from = 0; from < frames.length; ) {
    let to = from;
    for (let bytes = 0; to < frames.length && bytes < WRITE_BYTES; to++) bytes += frames[to].length;
    writes.push({ bytes: Buffer.concat(frames.slice(from, to)), messages: (to - from) * size });
    from = to;
  }
  return writes;
}

function median(numbers) {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)];
}

// --- In the page: each returns the milliseconds from the server's start to the end of the last handler, and calls `warm`
// after the first messages ---

function plain({ path, messages, first }) {
  return new Promise((resolve) => {
    const socket = new WebSocket(`ws://${location.host}${path}`);
    let [heard, sum, started] = [0, 0, 0];
    socket.onmessage = ({ data }) => {
      sum += JSON.parse(data).id;
      if (++heard === first) globalThis.warm();
      if (heard === messages) resolve(performance.now() - started);
    };
    socket.onopen = () => {
      started = performance.now();
      globalThis.go();
    };
  });
}

function plainArrays({ path, messages, first }) {
  return new Promise((resolve) => {
    const socket = new WebSocket(`ws://${location.host}${path}`);
    let [heard, sum, started] = [0, 0, 0];
    socket.onmessage = ({ data }) => {
      for (const { id } of JSON.parse(data)) {
        sum += id;
        if (++heard === first) globalThis.warm();
        if (heard === messages) resolve(performance.now() - started);
      }
    };
    socket.onopen = () => {
      started = performance.now();
      globalThis.go();
    };
  });
}

async function listen({ path, messages, first }) {
  const { connect } = await import('/dist/index.js');
  const client = await connect(path);
  const news = client.subscribe('news');
  await news.ready;
  let [heard, sum] = [0, 0];
  const all = new Promise((resolve) => {
    news.addEventListener('publication', ({ publication }) => {
      sum += publication.data.id;
      if (++heard === first) globalThis.warm();
      if (heard === messages) resolve(performance.now());
    });
  });
  const started = performance.now();
  globalThis.go();
  return (await all) - started;
}

async function iterate({ path, messages, first }) {
  const { connect } = await import('/dist/index.js');
  const client = await connect(path);
  const news = client.subscribe('news', { queue: { bytes: Infinity } });
  await news.ready;
  let [heard, sum] = [0, 0];
  const started = performance.now();
  globalThis.go();
  for await (const { data } of news) {
    sum += data.id;
    if (++heard === first) globalThis.warm();
    if (heard === messages) break;
  }
  return performance.now() - started;
}
