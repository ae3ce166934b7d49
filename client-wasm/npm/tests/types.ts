// What the compiler must take, and what it must refuse. Checked by tsc alone.

import { connect, type Client, type ContractInfo, type Publication } from '../src/index.js';

interface Line {
  nick: string;
  text: string;
}

interface DemoContract {
  channels: { [key: `chat:${string}`]: Line; news: string };
  calls: { 'math.add': { request: { terms: number[] }; response: number } };
}

declare const demo: ContractInfo<DemoContract>;

export async function typed(): Promise<void> {
  await using client: Client<DemoContract> = await connect<DemoContract>('wss://server.test/ws', { contract: demo });
  await client.publish('chat:lobby', { nick: 'ann', text: 'hi' });
  const sum: number = await client.call('math.add', { terms: [1, 2] }, { timeout: 1000 });
  for await (const { data, time } of client.subscribe('chat:lobby')) console.log(data.nick, time.getTime(), sum);
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
    // @ts-expect-error without a contract nobody knows what it is
    console.log(data.text);
  }
}
