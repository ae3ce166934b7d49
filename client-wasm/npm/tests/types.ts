// Code that the compiler must accept, and code that it must refuse. Checked by tsc alone.

import {
  Codes,
  connect,
  WirehubError,
  type Attachment,
  type Client,
  type CloseCodeName,
  type CodeName,
  type ContractInfo,
  type Member,
  type Publication,
  type PublicationEvent,
  type Socket,
  type StateChangeEvent,
} from '../src/index.js';

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
  await client.publish('news', 'now', { onProgress: (sent, total) => console.log(sent / total) });
  await client.reopen({ timeout: 1000 });
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

interface AlbumContract {
  channels: { photos: Attachment<{ name: string }> };
  calls: { resize: { request: Attachment<{ width: number }>; response: Attachment<{ width: number }> } };
}

export async function attached(client: Client<AlbumContract>): Promise<void> {
  const bytes = new Uint8Array();
  await client.publish('photos', { head: { name: 'cat.png' }, bytes });
  for await (const { data } of client.subscribe('photos')) console.log(data.head.name, data.bytes.length);

  // @ts-expect-error the head has another type
  await client.publish('photos', { head: {}, bytes });
  // @ts-expect-error bytes alone
  await client.publish('photos', bytes);
  const { head } = await client.call('resize', { head: { width: 10 }, bytes });
  console.log(head.width);
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

export function listeners(client: Client<DemoContract>, socket: Socket): () => void {
  const onState = (event: StateChangeEvent): void => console.log(event.state, event.codeName satisfies CloseCodeName | undefined);
  client.addEventListener('statechange', onState);
  client.addEventListener('error', { handleEvent: ({ error }) => console.log(error.codeName === 'TIMEOUT') });
  const lobby = client.subscribe('chat:lobby');
  const onLine = ({ publication }: PublicationEvent<Line>): void => console.log(publication.data.nick);
  lobby.addEventListener('publication', onLine);
  const onMessage = (event: MessageEvent<string | Uint8Array>): void => console.log(event.data);
  socket.addEventListener('message', onMessage, { once: true });

  // @ts-expect-error no such event
  client.addEventListener('statechanged', () => {});
  // @ts-expect-error no such event
  client.removeEventListener('statechanged', () => {});
  // @ts-expect-error no such event
  lobby.addEventListener('message', () => {});
  // @ts-expect-error no such event
  socket.addEventListener('publication', () => {});
  // @ts-expect-error the listener of another event
  client.removeEventListener('alarm', onState);
  return () => {
    client.removeEventListener('statechange', onState, { capture: false });
    lobby.removeEventListener('publication', onLine);
    socket.removeEventListener('message', onMessage);
    // Everywhere an EventTarget will do.
    new Array<EventTarget>(client, lobby, socket).at(0)?.dispatchEvent(new Event('error'));
  };
}

/** More than the Rust contract has: the broadcasts and the members' info. */
type Team = DemoContract & { broadcast: { notice: string }; info: { name: string } };

export async function typedEvents(client: Client<Team>): Promise<void> {
  client.addEventListener('broadcast', ({ publication }) => console.log(publication.data.notice));
  client.addEventListener('alarm', (alarm) => {
    const text: string = alarm.channel === 'news' ? alarm.data : typeof alarm.data === 'object' ? alarm.data.text : alarm.data;
    // @ts-expect-error no channel has such messages
    const wrong: number = alarm.data;
    console.log(text, wrong);
  });
  client.addEventListener('withdraw', (alarm) => console.log(alarm.channel satisfies 'news' | `chat:${string}`, alarm.data satisfies undefined));
  client.addEventListener('offer', (offer) => {
    if (offer.channel === 'news') return;
    offer.accept().addEventListener('join', ({ member }) => console.log(member.info?.name));
  });
  const members: Member<{ name: string }>[] = await client.presence('chat:lobby');
  // @ts-expect-error the info has no such field
  console.log(members[0]?.info?.age);
  // @ts-expect-error no such channel
  client.addEventListener('offer', (offer) => console.log(offer.channel === 'olds'));
  // The Rust contract belongs to the larger type too.
  await connect<Team>('/ws', { contract: demo });
  // @ts-expect-error another contract's value
  await connect<{ channels: { other: string }; calls: {} }>('/ws', { contract: demo });
}

export async function published(client: Client<DemoContract>): Promise<void> {
  const page = await client.history('chat:lobby');
  // Its list belongs to the caller.
  for (const publication of page.publications.reverse()) {
    // @ts-expect-error other listeners have the same object
    publication.time = new Date();
    // @ts-expect-error the same
    publication.offset = 1;
  }
  // @ts-expect-error the same
  page.position.offset = 1;
}

export function codes(error: unknown): string {
  if (!(error instanceof WirehubError)) return 'other';
  const name: CodeName | undefined = error.codeName;
  // @ts-expect-error no such name
  if (name === 'TIME_OUT') return '';
  const timeout: 115 = Codes.TIMEOUT;
  return error.code === timeout ? 'late' : (name ?? `code ${error.code}`);
}
