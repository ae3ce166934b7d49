// Hooks that the compiler must accept, and hooks that it must refuse. Checked by tsc alone.

import { connect } from '../src/index.js';
import { createHooks, useSubscription } from '../src/react/index.js';

interface Demo {
  channels: { [key: `chat:${string}`]: { nick: string; text: string }; news: string };
  calls: { 'math.add': { request: { terms: number[] }; response: number } };
  info: { name: string };
}

const hooks = createHooks<Demo>();

export async function Typed({ room }: { room: string }): Promise<void> {
  const { publications, publish } = hooks.useSubscription(`chat:${room}`, { history: 10 });
  const nick: string | undefined = publications[0]?.data.nick;
  await publish({ nick: 'ann', text: nick ?? '' }, { failFast: true });
  const { members } = hooks.useMembers(room === '' ? null : 'news');
  const { call, data } = hooks.useCall('math.add');
  const sum: number = data ?? (await call({ terms: [1, 2] }));
  console.log(members[0]?.info?.name, sum, hooks.useConnectionState().state === 'connected');
  hooks.Provider({ url: '/ws', options: { token: 'secret' } });
  hooks.Provider({ client: await connect<Demo>('/ws') });

  // @ts-expect-error no such channel
  hooks.useSubscription('olds');
  // @ts-expect-error another channel's message
  await publish('now');
  // @ts-expect-error no such call
  hooks.useCall('math.sub');
  // @ts-expect-error another request
  await call([1, 2]);
  // @ts-expect-error shared with other components
  publications.push(publications[0]);
  // @ts-expect-error neither an address nor a client
  hooks.Provider({});
  // @ts-expect-error both of them
  hooks.Provider({ url: '/ws', client: hooks.useClient() });
}

export function Untyped(): void {
  const { publications } = useSubscription('any');
  // @ts-expect-error without a contract the type of the data is unknown
  console.log(publications[0]?.data.text);
}
