// The hooks for React: in StrictMode, on a server, and the example of the guide.

import assert from 'node:assert/strict';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { transform } from 'esbuild';
import { Window } from 'happy-dom';

import { ANSWER, FakeWebSocket, frame, nested, number, REQUEST, sockets, text } from './fake-websocket.mjs';

globalThis.WebSocket = FakeWebSocket;

// Before there is a page.
const { createElement: h, StrictMode, act, useEffect } = await import('react');
const { renderToString } = await import('react-dom/server');
const { Client, Codes } = await import('@wirehub/client');
const { createHooks, WirehubProvider } = await import('@wirehub/client/react');
const { App } = await example();

const URL_OF_SERVER = 'ws://server.test/ws';
const rendered = renderToString(h(StrictMode, null, h(App, { url: '/ws' })));

const window = new Window({ url: 'http://page.test/' });
for (const name of ['window', 'document', 'HTMLElement', 'HTMLIFrameElement', 'Node', 'location', 'navigator']) {
  Object.defineProperty(globalThis, name, { value: name === 'window' ? window : window[name], configurable: true });
}
globalThis.IS_REACT_ACT_ENVIRONMENT = true;
const { createRoot, hydrateRoot } = await import('react-dom/client');

const problems = [];
console.error = (...words) => problems.push(words.join(' '));
process.on('unhandledRejection', (error) => problems.push(String(error)));
after(() => assert.deepEqual(problems, []));

const { Provider, ...hooks } = createHooks();

/** A server that knows one message and two members of each channel. */
class Server {
  subscribed = [];
  asked = [];
  #socket;

  static async next() {
    while (sockets.length === 0) await turn();
    return new Server(sockets.shift());
  }

  constructor(socket) {
    this.#socket = socket;
    socket.accept();
  }

  get closed() {
    return this.#socket.closedWith !== undefined;
  }

  /** Answers until there is nothing more to answer. */
  async settle() {
    for (let quiet = 0; quiet < 3; quiet += 1) {
      for (const command of await this.#socket.commands()) {
        this.#answer(command);
        quiet = 0;
      }
    }
  }

  publish(channel, data, offset) {
    this.#socket.receive(frame(0, ANSWER.publication, publication(channel, data, offset)));
  }

  member(type, channel, user) {
    this.#socket.receive(frame(0, ANSWER[type], [...text(1, channel), ...nested(2, member(user))]));
  }

  end() {
    this.#socket.end();
  }

  #answer({ id, request, body, text: words }) {
    const name = Object.keys(REQUEST).find((name) => REQUEST[name] === request);
    this.asked.push(name);
    const channel = /[a-z]+:[a-z]+/.exec(words)?.[0];
    const answers = {
      connect: () => [ANSWER.connected, text(1, 'session-1')],
      subscribe: () => [ANSWER.subscribed, [...text(1, channel), ...number(2, id), ...nested(3, text(2, 'e')), ...number(5, 1)]],
      presence: () => [ANSWER.presence, ['ann', 'ben'].flatMap((user) => nested(1, member(user)))],
      publish: () => [ANSWER.published, []],
      call: () => [ANSWER.called, nested(2, new TextEncoder().encode('3'))],
    };
    if (name === 'subscribe') this.subscribed.push(channel);
    const [kind, content] = answers[name]?.() ?? [];
    if (kind !== undefined) this.#socket.receive(frame(id, kind, content));
    // The last field is the number of earlier messages.
    if (name === 'subscribe' && body.at(-2) === 0x20) this.publish(channel, { by: 'ann', text: 'earlier' }, 1);
  }
}

const member = (user) => [...text(1, `session-of-${user}`), ...text(2, user)];
const publication = (channel, data, offset) => [...text(1, channel), ...text(3, JSON.stringify(data)), ...number(4, 1), ...number(6, offset)];
const turn = () => new Promise((resolve) => setImmediate(resolve));

/** A provider that left the page closes its client soon. */
async function closed(server) {
  while (!server.closed) await turn();
}

/** A page with this element, in StrictMode. */
async function page(element, container = document.createElement('main')) {
  document.body.append(container);
  const root = createRoot(container);
  await act(async () => root.render(h(StrictMode, null, element)));
  return {
    container,
    text: () => container.textContent,
    show: (other) => act(async () => root.render(h(StrictMode, null, other))),
    close: () => act(async () => root.unmount()),
    find: (selector) => container.querySelector(selector),
  };
}

/** The next connection, whose server has answered everything. */
async function served() {
  const server = await Server.next();
  await act(() => server.settle());
  return server;
}

test('the board of the guide shows its history, its members, and new messages once', async () => {
  const board = await page(h(App, { url: '/ws' }));
  const server = await served();
  assert.equal(board.find('[role=status]').textContent, 'connected');
  assert.equal(board.find('h2').textContent, '2 here');
  await act(async () => {
    server.publish('team:today', { by: 'ben', text: 'new' }, 2);
    server.member('join', 'team:today', 'cleo');
  });
  assert.match(board.text(), /ann: earlier.*ben: new/s);
  assert.equal(board.container.querySelectorAll('li').length, 2);
  assert.equal(board.find('h2').textContent, '3 here');
  await act(async () => server.member('leave', 'team:today', 'ann'));
  assert.equal(board.find('h2').textContent, '2 here');
  await act(async () => board.container.querySelectorAll('button')[1].click());
  await act(() => server.settle());
  assert.deepEqual([...new Set(server.subscribed)], ['team:today', 'team:later']);
  await board.close();
  await closed(server);
});

test('StrictMode makes one connection, and one subscription on the server', async () => {
  const Room = () => hooks.useSubscription('chat:a').state;
  const room = await page(h(Provider, { url: URL_OF_SERVER }, h(Room), h(Room)));
  const server = await served();
  assert.equal(room.text(), 'subscribedsubscribed');
  assert.deepEqual(server.subscribed, ['chat:a']);
  assert.equal(sockets.length, 0);
  await room.close();
  await closed(server);
});

test('a provider with another address, and one that comes back, has a new client', async () => {
  const State = () => hooks.useConnectionState().state;
  const at = (url) => h(Provider, { url }, h(State));
  const shown = await page(at(URL_OF_SERVER));
  const first = await served();
  await shown.show(at('ws://other.test/ws'));
  const second = await served();
  await closed(first);
  assert.deepEqual([second.closed, shown.text()], [false, 'connected']);
  await shown.show(null);
  await closed(second);
  await shown.show(at('ws://other.test/ws'));
  const third = await served();
  await shown.close();
  await closed(third);
});

test("the application's own client is connected, and stays open", async () => {
  const client = new Client(URL_OF_SERVER);
  const Who = () => String(hooks.useClient() === client);
  const shown = await page(h(Provider, { client }, h(Who)));
  await served();
  assert.equal(shown.text(), 'true');
  await shown.close();
  await new Promise((resolve) => setTimeout(resolve));
  assert.equal(client.state, 'connected');
  await client.close();
});

test('a lost connection is shown, with the list as it was', async () => {
  const Room = () => {
    const { state, publications } = hooks.useSubscription('chat:a');
    return `${hooks.useConnectionState().state} ${state} ${publications.map(({ data }) => data)}`;
  };
  const room = await page(h(Provider, { url: URL_OF_SERVER }, h(Room)));
  const server = await served();
  await act(async () => server.publish('chat:a', 'one', 1));
  assert.equal(room.text(), 'connected subscribed one');
  await act(async () => server.end());
  assert.equal(room.text(), 'reconnecting subscribing one');
  await room.close();
});

test('messages that come together are rendered once, and the oldest leave the list', async () => {
  let renderings = 0;
  const Room = () => {
    renderings += 1;
    return hooks.useSubscription('chat:a', { keep: 2 }).publications.map(({ data }) => data).join();
  };
  const room = await page(h(Provider, { url: URL_OF_SERVER }, h(Room)));
  const server = await served();
  renderings = 0;
  await act(async () => [1, 2, 3].forEach((offset) => server.publish('chat:a', offset, offset)));
  // StrictMode renders twice.
  assert.deepEqual([room.text(), renderings], ['2,3', 2]);
  await room.close();
  await closed(server);
});

test('a call shows that it is pending, and its response or its error', async () => {
  const seen = [];
  let start;
  const Sum = () => {
    const { call, pending, data, error } = hooks.useCall('math.add');
    start = call;
    seen.push(`${pending} ${data} ${error?.codeName}`);
    return null;
  };
  const sum = await page(h(Provider, { url: URL_OF_SERVER }, h(Sum)));
  const server = await served();
  await act(async () => void start({ terms: [1, 2] }));
  await act(() => server.settle());
  assert.deepEqual([...new Set(seen)], ['false undefined undefined', 'true undefined undefined', 'false 3 undefined']);
  // Dropped, and no unhandled rejection.
  await act(async () => void start({ terms: new Map() }));
  assert.equal(seen.at(-1), 'false 3 PAYLOAD_MISMATCH');
  await sum.close();
  await closed(server);
});

test('no channel is no subscription', async () => {
  const Nothing = () => `${hooks.useSubscription(null).state} ${hooks.useMembers(null).state}`;
  const nothing = await page(h(Provider, { url: URL_OF_SERVER }, h(Nothing)));
  const server = await served();
  assert.equal(nothing.text(), 'unsubscribed unsubscribed');
  assert.deepEqual(server.asked, ['connect']);
  await nothing.close();
  await closed(server);
});

test('a client that is closed by the application ends a subscription without an error', async () => {
  const client = new Client(URL_OF_SERVER);
  const Room = () => {
    const { state, error } = hooks.useSubscription('chat:a');
    return `${state} ${error?.codeName}`;
  };
  const room = await page(h(Provider, { client }, h(Room)));
  await served();
  assert.equal(room.text(), 'subscribed undefined');
  await act(() => client.close());
  assert.match(room.text(), /^unsubscribed/);
  await room.close();
});

test('a closed client ends a subscription with its error', async () => {
  const client = new Client(URL_OF_SERVER);
  await client.close();
  const Room = () => `${hooks.useSubscription('chat:a').error?.codeName} ${hooks.useMembers('chat:a').error?.codeName}`;
  const room = await page(h(Provider, { client }, h(Room)));
  assert.equal(room.text(), 'CLOSED CLOSED');
  await room.close();
});

test('a reopened client has its subscriptions again, without a new component', async () => {
  const client = new Client(URL_OF_SERVER);
  const Room = () => `${hooks.useConnectionState().state} ${hooks.useSubscription('chat:a').state} ${hooks.useMembers('chat:b').members.length}`;
  const room = await page(h(Provider, { client }, h(Room)));
  await served();
  assert.equal(room.text(), 'connected subscribed 2');
  await act(() => client.close());
  assert.equal(room.text(), 'closed unsubscribed 0');
  let reopening;
  await act(async () => void (reopening = client.reopen()));
  const server = await served();
  await reopening;
  assert.equal(room.text(), 'connected subscribed 2');
  assert.deepEqual([...new Set(server.subscribed)], ['chat:a', 'chat:b']);
  await room.close();
  await client.close();
});

test('an effect of the application may close and reopen its own client in StrictMode', async () => {
  const client = new Client(URL_OF_SERVER);
  const Own = () => {
    useEffect(() => {
      const connecting = client.state === 'closed' ? client.reopen() : client.connect();
      connecting.catch((error) => error.code === Codes.CLOSED || problems.push(String(error)));
      return () => void client.close();
    }, []);
    return null;
  };
  const own = await page(h(Own));
  const server = await served();
  assert.equal(client.state, 'connected');
  assert.equal(sockets.length, 0, 'one connection');
  await own.close();
  await closed(server);
});

test('a page from a server is hydrated without a difference', async () => {
  assert.match(rendered, /role="status">disconnected<.*0<!-- --> here/s);
  const container = document.createElement('main');
  container.innerHTML = rendered;
  document.body.append(container);
  let root;
  await act(async () => (root = hydrateRoot(container, h(StrictMode, null, h(App, { url: '/ws' })))));
  const server = await served();
  assert.equal(container.querySelector('[role=status]').textContent, 'connected');
  await act(async () => root.unmount());
  await closed(server);
});

test('a hook without its provider says so', () => {
  const Lost = () => hooks.useClient().state;
  assert.throws(() => renderToString(h(WirehubProvider, { url: '/ws' }, h(Lost))), /no Provider/);
});

/** The example of the guide, as a module. */
async function example() {
  const guide = await readFile(fileURLToPath(new URL('../../../docs/guides/react.md', import.meta.url)), 'utf8');
  const [, source] = /^```tsx\n('use client'.*?)^```$/ms.exec(guide);
  const { code } = await transform(source, { loader: 'tsx', jsx: 'automatic', format: 'esm' });
  // Beside this file, so that it finds the packages.
  const file = new URL(`.example-${process.pid}.mjs`, import.meta.url);
  await writeFile(file, code);
  try {
    return await import(file.href);
  } finally {
    await rm(file);
  }
}
