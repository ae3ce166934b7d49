// The example in Yew, used by two people in Chromium.
//
//   WIREHUB_TEST_PAGE  the example's page, served by a demo server of its own

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import { chromium } from 'playwright-core';
import { WebSocket } from 'ws';

const PAGE = process.env['WIREHUB_TEST_PAGE'];

let browser;

before(async () => {
  browser = await chromium.launch({
    executablePath: process.env['CHROMIUM'] ?? '/usr/bin/chromium',
    // Without a sandbox, because CI runs as root, where Chromium's sandbox can't start.
    args: ['--no-sandbox'],
  });
});

after(() => browser?.close());

test('two people talk, each in the room of their choice, and leaving unsubscribes', async () => {
  const [ann, ben] = [await Person.open('ann'), await Person.open('ben')];
  const server = await Server.connect();
  await ann.join('lobby');
  await ben.join('lobby');
  await server.counts({ lobby: 2 });

  await ann.say('hi');
  await ben.hears(['ann: hi']);
  await ann.hears(['ann: hi']);

  // Another room is another subscription, and begins with an empty list.
  await ben.join('kitchen');
  await server.counts({ kitchen: 1, lobby: 1 });
  await ann.say('still there?');
  await ann.hears(['ann: hi', 'ann: still there?']);
  await ben.say('tea');
  await ben.hears(['ben: tea']);

  await ben.page.getByRole('button', { name: 'Leave' }).click();
  await ben.page.locator('.messages').waitFor({ state: 'detached' });
  await server.counts({ lobby: 1 });
  server.close();
  await ann.leave();
  await ben.leave();
});

test('a message written without a connection goes out with the next one', async () => {
  const ann = await Person.open('ann', { cuts: true });
  await ann.join('kitchen');
  await ann.cut();
  await ann.page.getByText('reconnecting').waitFor();
  await ann.say('from a tunnel');
  ann.mend();
  await ann.hears(['ann: from a tunnel']);
  await ann.page.getByText('Connected', { exact: true }).waitFor();
  await ann.leave();
});

test('the page fetches its token from the site, and connects with it', async () => {
  const page = await browser.newPage();
  // The demo's server admits a token only if it has made it.
  const session = await fetch(new URL('/demo/session', PAGE), {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ key: 'the-key-of-this-page-0123456789-abcdef', name: 'Ann' }),
  });
  assert.equal(session.status, 200, await session.clone().text());
  const { token } = await session.json();
  const asked = [];
  await page.route('**/token', (route) => {
    asked.push(route.request().method());
    // The first answer is a failure of the site, after which the client asks again.
    return route.fulfill(asked.length === 1 ? { status: 503 } : { body: token });
  });
  let connected;
  const connect = new Promise((resolve) => {
    connected = resolve;
  });
  await page.routeWebSocket(/\/ws$/, (line) => {
    const server = line.connectToServer();
    line.onMessage((message) => {
      connected(message);
      server.send(message);
    });
  });
  await page.goto(PAGE);
  assert.ok(Buffer.from(await connect).includes(token));
  await page.getByText('Connected', { exact: true }).waitFor();
  assert.deepEqual(asked, ['GET', 'GET']);
  await page.close();
});

/** A person with the page open. */
class Person {
  page;
  #problems = [];
  #lines = [];
  #isCut = false;

  /** With `cuts`, the person's connection goes through this program, which can cut it. */
  static async open(name, { cuts = false } = {}) {
    const person = new Person();
    person.page = await browser.newPage();
    person.page.on('pageerror', (error) => person.#problems.push(String(error)));
    if (cuts) await person.page.routeWebSocket(/\/ws$/, (line) => person.#route(line));
    await person.page.goto(PAGE);
    await person.page.getByText('Connected', { exact: true }).waitFor();
    await person.page.getByLabel('Your name').fill(name);
    return person;
  }

  async join(room) {
    await this.page.getByRole('button', { name: room }).click();
    await this.page.getByRole('region', { name: room }).getByText('You receive the messages of this room.').waitFor();
  }

  async say(text) {
    await this.page.getByLabel('Message').fill(text);
    await this.page.getByRole('button', { name: 'Send' }).click();
  }

  /** Waits until the room's list consists of exactly these lines. */
  async hears(lines) {
    const items = this.page.locator('.messages li');
    await items.nth(lines.length - 1).waitFor();
    assert.deepEqual(await items.allTextContents(), lines);
  }

  /** Breaks the connection, and blocks new ones. */
  async cut() {
    this.#isCut = true;
    await Promise.all(this.#lines.splice(0).map((line) => line.close({ code: 1011 })));
  }

  mend() {
    this.#isCut = false;
  }

  async leave() {
    await this.page.close();
    assert.deepEqual(this.#problems, []);
  }

  #route(line) {
    if (this.#isCut) return void line.close({ code: 1011 });
    line.connectToServer();
    this.#lines.push(line);
  }
}

/** The demo's server. The rooms and their members are read over JSON. */
class Server {
  #socket;
  #id = 0;

  static async connect() {
    const server = new Server();
    server.#socket = new WebSocket(new URL('/ws', PAGE.replace('http', 'ws')));
    await once(server.#socket, 'open');
    await server.#ask({ connect: {} });
    return server;
  }

  /** Waits until exactly these rooms have exactly these numbers of members. */
  async counts(expected) {
    for (;;) {
      const { called } = await this.#ask({ call: { name: 'demo.rooms', data: {} } });
      const people = Object.fromEntries(called.data.rooms.map(({ name, people }) => [name, people]));
      try {
        return assert.deepEqual(people, expected);
      } catch {
        // Asked again, because the next answer takes a moment.
      }
    }
  }

  close() {
    this.#socket.close();
  }

  async #ask(request) {
    const id = ++this.#id;
    this.#socket.send(JSON.stringify({ id, ...request }));
    for (;;) {
      const [message] = await once(this.#socket, 'message');
      for (const line of String(message).split('\n')) {
        const reply = line === '' ? {} : JSON.parse(line);
        if (reply.id === id) return reply;
      }
    }
  }
}
