// A page that is open all day, in each browser and against the real server: its tokens expire, and the server is
// replaced.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';

import { CloseCodes, Codes } from '../../dist/index.js';
import { BROWSERS } from './browsers.mjs';
import { Publisher, Site, start as startServer, token } from './server.mjs';

for (const [name, start] of Object.entries(BROWSERS)) {
  describe(name, () => {
    let browser;
    let server;
    let site;
    /** The tokens of the site, one after the other; the last one again and again. */
    let tokens;
    let asked;

    before(async () => {
      server = await startServer();
      site = await Site.start(() => tokens[Math.min(asked++, tokens.length - 1)]());
      browser = await start();
    });

    after(async () => {
      await browser?.stop();
      await site?.stop();
      await server?.stop();
    });

    /** Opens a page with a client that listens to a channel, on a site that returns these tokens. */
    async function open(t, channel, give) {
      [tokens, asked] = [give, 0];
      const page = await browser.open(site.origin);
      t.after(() => page.close());
      await page.evaluate(listen, { url: server.url, channel });
      return page;
    }

    test('a token that has expired is refused, and the provider is asked for another one', async (t) => {
      const page = await open(t, 'chat:expired', [() => token(-60), () => token(60)]);
      const { log } = await page.evaluate(look);
      assert.equal(asked, 2);
      assert.deepEqual(log.states, ['connecting', `connecting ${CloseCodes.TOKEN_EXPIRED}`, 'connected']);
    });

    test('tokens of two seconds are replaced in the connection that is up', async (t) => {
      const page = await open(t, 'chat:short', [() => token(2)]);
      const { session } = await page.evaluate(look);
      const publisher = new Publisher(server, 'chat:short');
      await page.evaluate(tokensAsked, 5);
      const published = await publisher.stop();
      const { log, ...now } = await page.evaluate(heard, published);
      assert.deepEqual(log.states, ['connecting', 'connected']);
      assert.equal(now.session, session);
      assert.deepEqual(log.numbers, upTo(published));
      assert.deepEqual(log.gaps, []);
      assert.ok(asked >= 5);
    });

    test('a page that gets no token in time is let in again with the next one, and has missed nothing', async (t) => {
      const page = await open(t, 'chat:late', [() => token(2)]);
      const publisher = new Publisher(server, 'chat:late');
      await page.evaluate(signedOutUntilClosed);
      const published = await publisher.stop();
      const { log } = await page.evaluate(heard, published);
      assert.deepEqual(log.states, ['connecting', 'connected', `reconnecting ${CloseCodes.TOKEN_EXPIRED}`, 'connected']);
      assert.deepEqual(log.numbers, upTo(published));
      assert.deepEqual(log.recovered, [false, true]);
      assert.deepEqual(log.gaps, []);
      assert.deepEqual(new Set(log.errors), new Set([Codes.TOKEN_UNAVAILABLE]));
    });

    test('a whole day: TLS, a backend, a page and a terminal, a deploy, metrics, and a refused user', async (t) => {
      const secure = await startServer({ tls: true });
      t.after(() => secure.stop());
      [tokens, asked] = [[() => token(2), () => token(60)], 0];
      const page = await browser.open(site.origin);
      t.after(() => page.close());
      await page.evaluate(listen, { url: secure.url, channel: 'chat:day' });
      const atTerminal = async (user, channel) => {
        await writeFile(secure.path(user), secure.token(user));
        const terminal = secure.terminal(['sub', '--ca', secure.path('cert.pem'), '--token-file', secure.path(user), secure.url, channel]);
        t.after(() => terminal.kill());
        return terminal;
      };
      const bob = await atTerminal('bob', 'chat:day');
      const shown = createInterface({ input: bob.stdout })[Symbol.asyncIterator]();
      await subscribers(secure, 'chat:day', 2);

      const publisher = new Publisher(secure, 'chat:day');
      await page.evaluate(heard, 20);
      await secure.restart();
      await page.evaluate(connections, 2);
      await subscribers(secure, 'chat:day', 2);

      // A user without any rights here.
      const mallory = await atTerminal('mallory', 'chat:other');
      await subscribers(secure, 'chat:other', 1);
      const ended = once(mallory, 'exit');
      const { status } = await secure.ask('POST', '/api/v1/users/mallory/disconnect', JSON.stringify({ reason: 'out' }));
      assert.ok(status < 300, `${status}`);
      assert.notDeepEqual(await ended, [0, null]);

      const published = await publisher.stop();
      const { log } = await page.evaluate(heard, published);
      assert.deepEqual(log.numbers, upTo(published));
      assert.deepEqual(log.gaps, ['lost']);
      for (const number of upTo(published)) assert.equal((await shown.next()).value, `chat:day\t${number}`);
      const metrics = await secure.ask('GET', '/metrics');
      assert.match(metrics.text, /^wirehub_sessions 2$/m);
    });

    test('two deploys: each message comes once and in order, and the loss of old ones is reported', async (t) => {
      const page = await open(t, 'chat:deploy', [() => token(60)]);
      const publisher = new Publisher(server, 'chat:deploy');
      for (const deploys of [1, 2]) {
        const { log } = await page.evaluate(heard, publisher.published + 20);
        assert.equal(log.gaps.length, deploys - 1);
        await server.restart();
        await page.evaluate(connections, 1 + deploys);
      }
      const published = await publisher.stop();
      const { log } = await page.evaluate(heard, published);
      assert.deepEqual(log.numbers, upTo(published));
      assert.deepEqual(log.gaps, ['lost', 'lost']);
      const again = [`reconnecting ${CloseCodes.SHUTDOWN}`, 'connected'];
      assert.deepEqual(log.states, ['connecting', 'connected', ...again, ...again]);
    });
  });
}

/** Waits until a channel has `count` subscribers. */
async function subscribers(server, channel, count) {
  for (;;) {
    const { status, text } = await server.ask('GET', `/api/v1/channels/${channel}/presence`);
    if (status === 200 && JSON.parse(text).sessions === count) return;
  }
}

const upTo = (count) => Array.from({ length: count }, (_, number) => number);

// --- The page's code. The page records its events in `page.log`; each function waits for an event, and checks again.
// ---

async function listen({ url, channel }) {
  const { Client } = await import('/dist/index.js');
  const log = { states: [], numbers: [], gaps: [], recovered: [], errors: [] };
  const changes = new EventTarget();
  let asked = 0;
  const page = { log, changes, tokens: 'given', asked: () => asked };
  globalThis.page = page;
  const note = (list, what) => {
    list.push(what);
    changes.dispatchEvent(new Event('change'));
  };
  const client = new Client(url, {
    token: async ({ signal }) => {
      asked += 1;
      changes.dispatchEvent(new Event('change'));
      if (page.tokens === 'withheld') throw new Error('the site gives none');
      return (await fetch('/token', { signal })).text();
    },
  });
  page.client = client;
  client.addEventListener('statechange', ({ state, code }) => {
    // Each failed attempt is reported as well.
    if (state === 'reconnecting' && log.states.at(-1)?.startsWith(state)) return;
    note(log.states, code === undefined ? state : `${state} ${code}`);
  });
  client.addEventListener('error', ({ error }) => note(log.errors, error.code));
  const subscription = client.subscribe(channel);
  subscription.addEventListener('publication', ({ publication }) => note(log.numbers, publication.data));
  subscription.addEventListener('gap', ({ reason }) => note(log.gaps, reason));
  subscription.addEventListener('subscribed', ({ recovered }) => note(log.recovered, recovered));
  page.until = async (isSo) => {
    while (!isSo()) await new Promise((resolve) => changes.addEventListener('change', resolve, { once: true }));
    return { log, session: client.session };
  };
  await client.connect();
  await subscription.ready;
}

async function look() {
  return globalThis.page.until(() => true);
}

async function heard(count) {
  const { until, log } = globalThis.page;
  return until(() => log.numbers.length >= count);
}

async function connections(count) {
  const { until, log } = globalThis.page;
  return until(() => log.states.filter((state) => state === 'connected').length >= count);
}

async function tokensAsked(count) {
  const { until, asked } = globalThis.page;
  return until(() => asked() >= count);
}

/** The site has no token for this page until the server has closed its connection, and the page is back. */
async function signedOutUntilClosed() {
  const { page } = globalThis;
  page.tokens = 'withheld';
  await page.until(() => page.log.states.at(-1).startsWith('reconnecting'));
  page.tokens = 'given';
  return page.until(() => page.client.state === 'connected');
}
