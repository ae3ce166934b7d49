// A client of the npm package in the chaos test: `node client.mjs URL NAME TOKEN careful|careless CHANNEL…`. It subscribes to every
// channel and prints `ready`. A careful one acknowledges each alarm. A line on its input makes it publish in each channel in turn, the next line makes it publish no more, and the end of
// the input ends it. Every event is printed as a line of JSON.

import { once } from 'node:events';
import { createInterface } from 'node:readline';

import { Client } from '@wirehub/client';

// The pause between an answer and the next publish, and the time limit of a publish, in milliseconds.
const PACE = 20;
const PATIENT = 30_000;

const [url, name, token, care, ...channels] = process.argv.slice(2);
const client = new Client(url, { name: 'chaos', timeout: PATIENT, token });
const print = (...event) => console.log(JSON.stringify(event));

client.addEventListener('alarm', async (alarm) => {
  // It is for new sessions.
  if (alarm.channel === 'alarm:last') return;
  print('alarm', alarm.id);
  while (care === 'careful') {
    try {
      await alarm.acknowledge();
      print('alarm-acknowledged', alarm.id);
      return;
    } catch (error) {
      // A temporary refusal is not repeated by the client.
      if (!error.temporary) return;
      await new Promise((resolve) => setTimeout(resolve, PACE));
    }
  }
});
client.addEventListener('withdraw', ({ id }) => print('withdrawn', id));

const subscriptions = channels.map((channel) => {
  const subscription = client.subscribe(channel);
  subscription.addEventListener('publication', ({ publication }) => {
    print('heard', channel, publication.data, publication.offset);
  });
  subscription.addEventListener('gap', ({ reason }) => print('gap', channel, String(reason)));
  subscription.addEventListener('unsubscribed', ({ code, reason }) => {
    if (code !== undefined) print('ended', channel, reason);
  });
  return subscription;
});
await client.connect();
await Promise.all(subscriptions.map(({ ready }) => ready));
const input = createInterface({ input: process.stdin });
const ended = once(input, 'close');
const started = once(input, 'line');
console.log('ready');
await started;

let publishing = true;
input.once('line', () => (publishing = false));
for (let number = 0; publishing; number += 1) {
  const channel = channels[number % channels.length];
  const message = { publisher: name, number };
  try {
    await client.publish(channel, message);
    print('acknowledged', channel, message);
  } catch {
    // Without an answer it may arrive or not.
  }
  await new Promise((resolve) => setTimeout(resolve, PACE));
}
console.log('stopped');
await ended;
for (const subscription of subscriptions) await subscription.unsubscribe();
await client.close();
