// Plays scenarios with the npm package: carries out the orders of the stage (tests/src/scenarios), and sends a line for
// each event. It runs in Node.js and in pages, and imports nothing. The same for clients in Rust is tests/player.

/** Plays a scenario. Returns the stage's verdict: the difference from the table, or nothing. */
export async function play({ Client }, stage, scenario) {
  const socket = new WebSocket(`${stage}/${scenario}`);
  const say = (line) => socket.send(line);
  let client;
  /** The answer to the open question of the client. */
  let answer;
  const subscriptions = new Map();

  const result = (of, promise, text = () => 'done') =>
    promise.then(
      (value) => say(`${of}: ${text(value)}`),
      (error) => say(`${of}: error ${error.code}`),
    );
  const text = (data) => {
    if (data instanceof Uint8Array) return `bytes [${[...data].join(', ')}]`;
    return typeof data === 'object' ? `${data.head} with ${text(data.bytes)}` : data;
  };

  async function read(channel) {
    try {
      for await (const { data } of subscriptions.get(channel).loop) say(`${channel}: ${text(data)}`);
      say(`${channel}: ended`);
    } catch (error) {
      say(`${channel}: ended ${error.code}`);
    }
  }

  const orders = {
    begin({ url, token, queue, overflow }) {
      const ask = () => {
        say('tokens: asked');
        return new Promise((resolve) => {
          answer = resolve;
        });
      };
      client = new Client(url, { token: token ?? ask, queue: { ...(queue !== null && { bytes: queue }), overflow: overflow || 'error' } });
      client.addEventListener('statechange', ({ state, code }) => say(`state: ${state}${code === undefined ? '' : ` ${code}`}`));
    },
    connect: () => void result('connect', client.connect()),
    subscribe({ channel, unread }) {
      const subscription = client.subscribe(channel);
      // A loop that has begun, so that its queue has the policy of a reader.
      subscriptions.set(channel, { subscription, loop: subscription[Symbol.asyncIterator]() });
      subscription.ready.then(
        () => say(`${channel}: subscribed`),
        () => undefined,
      );
      subscription.addEventListener('gap', ({ reason }) => say(`${channel}: gap ${reason}`));
      if (!unread) void read(channel);
    },
    read: ({ channel }) => void read(channel),
    unsubscribe: ({ channel }) => void subscriptions.get(channel).subscription.unsubscribe(),
    publish: ({ channel, text }) => void result('publish', client.publish(channel, text)),
    'publish-bytes': ({ channel, bytes }) => void result('publish', client.publish(channel, new Uint8Array(bytes))),
    'publish-attachment': ({ channel, head, bytes }) => void result('publish', client.publish(channel, { head, bytes: new Uint8Array(bytes) })),
    call: ({ name, text: request }) => void result('call', client.call(name, request), text),
    token: ({ token }) => answer(token),
    close: ({ code, reason }) => void client.close(code, reason),
  };

  return new Promise((resolve, reject) => {
    socket.onerror = () => reject(new Error('the stage is gone'));
    socket.onclose = socket.onerror;
    socket.onmessage = ({ data }) => {
      const { order, failure, ...rest } = JSON.parse(data);
      if (order !== 'end') return orders[order](rest);
      resolve(failure);
      void client?.close();
      socket.close();
    };
  });
}

/** Plays every scenario of the table at once; returns all differences. */
export async function playAll(client, stage) {
  const names = await new Promise((resolve, reject) => {
    const socket = new WebSocket(stage);
    socket.onmessage = ({ data }) => {
      resolve(data.split(' '));
      socket.close();
    };
    socket.onerror = () => reject(new Error(`no stage at ${stage}`));
  });
  const plays = names.map((name) => play(client, stage, name).catch((error) => `${name}: ${error.message}\n`));
  return { names, failures: (await Promise.all(plays)).join('') };
}
