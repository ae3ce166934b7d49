// Features of pages with the server besides messages in channels, in each browser and against the real server. Over
// broken connections, alarms come once, and publications and calls are carried out once. The server subscribes a page
// to channels. Pages see each other enter and leave.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { Codes } from '../../dist/index.js';
import { BROWSERS } from './browsers.mjs';
import { checkSteps } from './progress.mjs';
import { Backend, Link, Site, start as startServer, token } from './server.mjs';

const config = (backend) => `
[namespace.room]
presence = "everybody"
join_leave = "100ms"
[webhooks]
secret = { file = "token.key" }
[[webhooks.calls]]
pattern = "count.*"
url = "${backend.url}"
`;

for (const [name, start] of Object.entries(BROWSERS)) {
  describe(name, () => {
    let backend;
    let server;
    let link;
    let site;
    let browser;

    before(async () => {
      backend = await Backend.start();
      server = await startServer({ config: config(backend) });
      link = await Link.start(server);
      site = await Site.start();
      browser = await start();
    });

    after(async () => {
      await browser?.stop();
      await site?.stop();
      await link?.stop();
      await server?.stop();
      await backend?.stop();
    });

    /** Opens a page with a user's client that listens to these channels; `info` is shown to other members. */
    async function open(t, user, { info, channels = [] } = {}) {
      const page = await browser.open(site.origin);
      t.after(() => page.close());
      const session = await page.evaluate(enter, { url: link.url, token: token(60, user, { info }), channels });
      return { session, evaluate: page.evaluate, seen: (what, count) => page.evaluate(until, { what, count }), close: page.close };
    }

    test('an alarm comes once although the connection breaks, and its acknowledgement is in the ledger', async (t) => {
      const page = await open(t, 'ann', { channels: ['chat:after'] });
      const lost = link.mute();
      const { alarm } = await server.api('POST', '/alarms', { channel: 'alarm:fire', data: { where: 'attic' }, users: ['ann'] });
      await lost();
      link.cut();
      const [shown] = await page.seen('alarm', 1);
      assert.deepEqual(shown, { id: alarm, channel: 'alarm:fire', data: { where: 'attic' } });
      // It was not acknowledged: the server sends it again, before anything else.
      link.cut();
      await page.seen('connected', 3);
      await server.publish('chat:after', 'the server has sent it again');
      await page.seen('publication', 1);
      await page.evaluate(acknowledge, alarm);
      assert.equal((await page.seen('alarm', 1)).length, 1);
      const { state, acknowledged, recipients } = await server.api('GET', `/alarms/${alarm}`);
      assert.deepEqual([state, acknowledged], ['active', 1]);
      assert.deepEqual(recipients.map(({ user, progress }) => [user, progress]), [['ann', 'acknowledged']]);
    });

    test('the withdrawal of an alarm is reported, also to a page without a connection at that moment', async (t) => {
      const page = await open(t, 'ann');
      const raise = async () => (await server.api('POST', '/alarms', { channel: 'alarm:fire', data: 1, users: ['ann'] })).alarm;
      const [first, second] = [await raise(), await raise()];
      await page.seen('alarm', 2);
      await server.api('DELETE', `/alarms/${first}`);
      await page.seen('withdraw', 1);
      const lost = link.mute();
      await server.api('DELETE', `/alarms/${second}`);
      await lost();
      link.cut();
      const withdrawn = await page.seen('withdraw', 2);
      assert.deepEqual(withdrawn.map(({ id }) => id), [first, second]);
    });

    test('a subscription that the server makes is accepted, receives, and ends when the server ends it', async (t) => {
      const page = await open(t, 'ann');
      await server.api('POST', `/sessions/${page.session}/subscribe`, { channel: 'chat:offered' });
      assert.deepEqual(await page.seen('offer', 1), [{ channel: 'chat:offered' }]);
      await server.publish('chat:offered', 'welcome');
      const [heard] = await page.seen('publication', 1);
      assert.deepEqual(heard, { channel: 'chat:offered', data: 'welcome' });
      const why = { code: 1001, message: 'the room is closed' };
      await server.api('POST', `/sessions/${page.session}/unsubscribe`, { channel: 'chat:offered', ...why });
      assert.deepEqual(await page.seen('unsubscribed', 1), [{ channel: 'chat:offered', ...why }]);
      const { subscriptions } = await server.api('GET', `/sessions/${page.session}`);
      assert.deepEqual(subscriptions, []);
    });

    test('a page sees another member enter and leave', async (t) => {
      const [ann, bob] = [await open(t, 'ann', { channels: ['room:seen'] }), await open(t, 'bob', { info: { name: 'Bob' } })];
      await bob.evaluate(subscribe, 'room:seen');
      const member = { channel: 'room:seen', session: bob.session, user: 'bob', info: { name: 'Bob' } };
      assert.deepEqual(await ann.seen('join', 1), [member]);
      await bob.evaluate(close);
      assert.deepEqual(await ann.seen('leave', 1), [member]);
    });

    test('presence counts sessions and users', async (t) => {
      const options = { channels: ['room:counted'] };
      const [ann] = [await open(t, 'ann', options), await open(t, 'ann', options), await open(t, 'bob', options)];
      assert.deepEqual(await ann.evaluate(presenceCounts, 'room:counted'), { sessions: 3, users: 2 });
    });

    test('a publication whose answer is lost with the connection is there once', async (t) => {
      const page = await open(t, 'ann');
      const lost = link.mute();
      await page.evaluate(begin, { what: 'publish', to: 'chat:doubt', data: 'once' });
      await lost();
      link.cut();
      assert.equal((await page.evaluate(result)).offset, 1);
      await page.seen('connected', 2);
      const { publications } = await server.api('GET', '/channels/chat:doubt/history');
      assert.deepEqual(publications.map(({ data }) => data), ['once']);
    });

    test('a call whose answer is lost with the connection is carried out once', async (t) => {
      const page = await open(t, 'ann');
      const before = backend.calls;
      const lost = link.mute();
      await page.evaluate(begin, { what: 'call', to: 'count.up', data: null });
      await lost();
      link.cut();
      assert.equal(await page.evaluate(result), before + 1);
      assert.equal(backend.calls, before + 1);
    });

    test('a call goes on while the connection is gone, and is carried out once', async (t) => {
      const page = await open(t, 'ann');
      const before = backend.calls;
      const release = backend.hold();
      const called = backend.next();
      await page.evaluate(begin, { what: 'call', to: 'count.up', data: null });
      await called;
      link.cut();
      await page.seen('connected', 2);
      release();
      assert.equal(await page.evaluate(result), before + 1);
      assert.equal(backend.calls, before + 1);
    });

    test('a large message shows the bytes that the browser has sent, up to the whole', async (t) => {
      const page = await open(t, 'ann');
      const size = 900_000;
      const steps = await page.evaluate(upload, size);
      checkSteps(steps, size);
    });

    test('a refused subscription reports the reason', async (t) => {
      const page = await open(t, 'ann');
      await page.evaluate(subscribe, '@bob');
      const [{ channel, code }] = await page.seen('unsubscribed', 1);
      assert.deepEqual([channel, code], ['@bob', Codes.PERMISSION_DENIED]);
    });
  });
}

// --- The page's code. It records its events in `page.seen`, by kind. ---

async function enter({ url, token, channels }) {
  const { Client } = await import('/dist/index.js');
  const client = new Client(url, { token });
  const seen = {};
  const changes = new EventTarget();
  const note = (what, details) => {
    (seen[what] ??= []).push(details);
    changes.dispatchEvent(new Event('change'));
  };
  const listen = (subscription) => {
    const { channel } = subscription;
    subscription.addEventListener('publication', ({ publication: { data } }) => note('publication', { channel, data }));
    for (const type of ['join', 'leave']) subscription.addEventListener(type, ({ member }) => note(type, { channel, ...member }));
    subscription.addEventListener('unsubscribed', ({ code, reason }) => note('unsubscribed', { channel, code, message: reason }));
    return subscription;
  };
  globalThis.page = { client, seen, changes, listen };
  client.addEventListener('statechange', ({ state }) => note(state, {}));
  for (const type of ['alarm', 'withdraw']) client.addEventListener(type, ({ id, channel, data }) => note(type, { id, channel, data }));
  client.addEventListener('offer', (offer) => {
    listen(offer.accept());
    note('offer', { channel: offer.channel });
  });
  await client.connect();
  await Promise.all(channels.map((channel) => listen(client.subscribe(channel)).ready));
  return client.session;
}

/** Waits until the page has seen `count` events of a kind, and returns them. */
async function until({ what, count }) {
  const { seen, changes } = globalThis.page;
  while ((seen[what]?.length ?? 0) < count) await new Promise((resolve) => changes.addEventListener('change', resolve, { once: true }));
  return seen[what];
}

async function subscribe(channel) {
  const { client, listen } = globalThis.page;
  // A refusal is reported by the event.
  await listen(client.subscribe(channel)).ready.catch(() => undefined);
}

async function acknowledge(alarm) {
  await globalThis.page.client.acknowledge(alarm);
}

async function presenceCounts(channel) {
  return globalThis.page.client.presenceCounts(channel);
}

async function close() {
  await globalThis.page.client.close();
}

async function upload(size) {
  const steps = [];
  await globalThis.page.client.publish('chat:large', new Uint8Array(size), { onProgress: (sent, total) => steps.push([sent, total]) });
  return steps;
}

/** Begins a command whose answer is returned by {@link result}. */
async function begin({ what, to, data }) {
  const { page } = globalThis;
  page.answer = page.client[what](to, data);
}

async function result() {
  return globalThis.page.answer;
}
