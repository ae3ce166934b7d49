// Code that the compiler must accept, and code that it must refuse. Checked by tsc alone.

import { connect, type Client, type ContractInfo, type Publication } from '../src/index.js';

interface Line {
  nick: string;
  text: string;
}

interface DemoContract {
  channels: { [key: `chat:${string}`]: Line; news: string };
  calls: { 'math.add': { request: { terms: number[] }; response: number } };
  streams: { 'math.steps': { request: { terms: number[] }; response: number } };
}

declare const demo: ContractInfo<DemoContract>;

export async function typed(): Promise<void> {
  await using client: Client<DemoContract> = await connect<DemoContract>('wss://server.test/ws', { contract: demo });
  await client.publish('chat:lobby', { nick: 'ann', text: 'hi' });
  const sum: number = await client.call('math.add', { terms: [1, 2] }, { timeout: 1000 });
  for await (const { data, time } of client.subscribe('chat:lobby')) console.log(data.nick, time.getTime(), sum);
  for await (const step of client.callStream('math.steps', { terms: [1, 2] })) console.log(step + sum);
  const sent: boolean = await client.publish('news', 'now', { volatile: true });
  const { publications, position } = await client.history('chat:lobby', { limit: 5 });
  const later = await client.history('chat:lobby', { since: position, failFast: sent });
  console.log(publications[0]?.data.nick, later.position.offset, (await client.presence('news'))[0]?.user);
  client.addEventListener('alarm', (event) => void event.acknowledge().then(() => console.log(event.id, event.ttl)));
  client.addEventListener('offer', (event) => console.log(event.accept().channel));
  client.subscribe('news').addEventListener('join', ({ member }) => console.log(member.user, member.info));
  const counts: number = (await client.presenceCounts('news')).users;
  console.log(counts);
  const news: AsyncIterable<Publication<string>> = client.subscribe('news');
  console.log(news);

  // @ts-expect-error no such channel
  client.subscribe('nothing');
  // @ts-expect-error another channel's message
  await client.publish('news', { nick: 'ann', text: 'hi' });
  // @ts-expect-error a field is missing
  await client.publish('chat:lobby', { nick: 'ann' });
  // @ts-expect-error no such call
  await client.call('math.sub', { terms: [] });
  // @ts-expect-error a stream is no call
  await client.call('math.steps', { terms: [] });
  // @ts-expect-error a call is no stream
  client.callStream('math.add', { terms: [] });
  // @ts-expect-error another request
  await client.call('math.add', [1, 2]);
  // @ts-expect-error the response is a number
  const wrong: string = await client.call('math.add', { terms: [] });
  console.log(wrong);
  // @ts-expect-error the message has no such field
  for await (const { data } of client.subscribe('chat:lobby')) console.log(data.when);
}

export async function untyped(): Promise<void> {
  const client = await connect('/ws', { signal: AbortSignal.timeout(1000) });
  await client.publish('any', { thing: 1 });
  for await (const { data } of client.subscribe('any')) {
    // @ts-expect-error without a contract the type of the data is unknown
    console.log(data.text);
  }
}

export async function withTokens(): Promise<void> {
  const client = await connect('/ws', { token: async ({ signal }) => (await fetch('/token', { signal })).text() });
  client.setToken('another');
  client.addEventListener('broadcast', ({ publication }) => console.log(publication.time));
  const subscription = client.subscribe('any');
  subscription.addEventListener('subscribed', ({ recovered }) => console.log(recovered));
  subscription.addEventListener('gap', ({ reason }) => console.log(reason));
  for await (const response of client.callStream('any', 1)) console.log(response);
  // @ts-expect-error a number is no token
  await connect('/ws', { token: () => 7 });
}
