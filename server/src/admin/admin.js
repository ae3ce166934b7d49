// The page: the sign-in form, and the board with the server's present state.

import { Api } from './api.js';
import { Figures, rate } from './chart.js';
import { endSession, showAlarm, showChannel, showSession } from './dialogs.js';
import { bytes, byId, duration, number, setText } from './dom.js';
import { setUpPublishing } from './publish.js';
import { Table } from './tables.js';

/** The refresh interval of the board, in ms. */
const INTERVAL = 2000;
/** How long a confirmation stays visible, in ms. */
const TOLD_FOR = 5000;

class Board {
  api;
  publishTo;
  #figures = new Figures(byId('figures'));
  #sessions;
  #channels;
  #alarms;
  #nodes;
  /** The number of publications of each channel at the last refresh. */
  #channelsBefore = new Map();
  #timer;
  #hasEnded = false;
  #toldUntil = 0;
  /** The difference of the server's clock to this one, in ms. */
  #ahead = 0;

  constructor(api) {
    this.api = api;
    this.publishTo = setUpPublishing(this);
    const failed = (error) => this.#fail(error);
    this.#sessions = new Table('sessions', {
      columns: [
        { title: 'User', text: ({ user }) => user ?? 'anonymous', open: (it) => this.attempt(() => showSession(this, it)), label: (it) => `Session of ${it.user ?? 'an anonymous user'}: details` },
        { title: 'Address', text: ({ address }) => address ?? '–' },
        { title: 'Connected', text: ({ connected }) => duration(this.now() - connected), numeric: true },
        { title: 'Protocol', text: ({ subprotocol }) => subprotocol.split('.').at(-1) },
        { title: 'Channels', text: ({ channels }) => number(channels), numeric: true },
        { title: 'Queue', text: ({ queue_bytes: queue }) => bytes(queue), numeric: true },
        { title: 'End', text: () => 'Disconnect…', open: (it) => endSession(this, it), danger: true, label: (it) => `Disconnect ${it.user ?? it.session}…` },
      ],
      keyOf: ({ session }) => session,
      load: async (query) => {
        const { sessions: items, next, count, missing_nodes: missing } = await this.api.get('sessions', query);
        return { items, next, count, missing };
      },
      failed,
    });
    this.#channels = new Table('channels', {
      columns: [
        { title: 'Channel', text: ({ name }) => name, open: (it) => this.attempt(() => showChannel(this, it)), label: (it) => `Channel ${it.name}: details` },
        { title: 'Subscribers', text: ({ subscribers }) => number(subscribers), numeric: true },
        { title: 'Messages per second', text: ({ rate: perSecond }) => (perSecond === undefined ? '–' : number(perSecond)), numeric: true },
        { title: 'History', text: ({ history }) => (history ? 'kept' : '–') },
      ],
      keyOf: ({ name }) => name,
      load: async (query) => {
        const { channels, next, count, missing_nodes: missing } = await this.api.get('channels', query);
        return { items: this.#withRates(channels), next, count, missing };
      },
      failed,
    });
    this.#alarms = new Table('alarms', {
      columns: [
        { title: 'Alarm', text: ({ channel }) => channel, open: (it) => this.attempt(() => showAlarm(this, it)), label: (it) => `Alarm ${it.channel}: details` },
        { title: 'Raised', text: ({ time }) => duration(this.now() - time), numeric: true },
        { title: 'State', text: ({ state }) => state },
        { title: 'Not acknowledged', text: ({ waiting, sent, received }) => number(waiting + sent + received), numeric: true },
        { title: 'Acknowledged', text: ({ acknowledged }) => number(acknowledged), numeric: true },
      ],
      keyOf: ({ alarm }) => alarm,
      // The API returns all of them at once; the page divides them.
      load: async ({ limit, after = 0 }) => {
        const { alarms } = await this.api.get('alarms');
        const end = after + limit;
        return { items: alarms.slice(after, end), next: end < alarms.length ? end : undefined, count: alarms.length };
      },
      failed,
    });
    this.#nodes = new Table('nodes', {
      columns: [
        { title: 'Node', text: ({ name }) => name },
        { title: 'Version', text: ({ version }) => version },
        { title: 'Up', text: ({ started }) => duration(this.now() - started), numeric: true },
        { title: 'Sessions', text: ({ sessions }) => number(sessions), numeric: true },
        { title: 'Channels', text: ({ channels }) => number(channels), numeric: true },
        { title: 'State', text: ({ state }) => state },
      ],
      keyOf: ({ node }) => node,
      load: async (query) => {
        const { nodes: items, next, count } = await this.api.get('nodes', query);
        return { items, next, count };
      },
      failed,
    });
    for (const [id, table, field, key] of [
      ['sessions-filter', this.#sessions, 'sessions-user', 'user'],
      ['channels-filter', this.#channels, 'channels-prefix', 'prefix'],
    ]) {
      byId(id).onsubmit = (event) => {
        event.preventDefault();
        void this.attempt(() => table.show({ [key]: byId(field).value }));
      };
    }
  }

  /** Refreshes the board now and regularly, while the page is visible. */
  async start() {
    await this.refresh();
    const look = async () => {
      if (document.visibilityState === 'visible') await this.attempt(() => this.refresh());
      // The next refresh begins after the answer, however long that takes.
      if (!this.#hasEnded) this.#timer = setTimeout(look, INTERVAL);
    };
    this.#timer = setTimeout(look, INTERVAL);
  }

  stop() {
    clearTimeout(this.#timer);
    this.#hasEnded = true;
  }

  /** The server's time, in ms since 1970. */
  now() {
    return Date.now() + this.#ahead;
  }

  async refresh() {
    const [stats, sessions, channels, alarms, nodes] = await Promise.all([
      this.api.get('stats'),
      this.#sessions.refresh(),
      this.#channels.refresh(),
      this.#alarms.refresh(),
      this.#nodes.refresh(),
    ]);
    if (this.#hasEnded) return;
    this.#ahead = stats.time - Date.now();
    this.#figures.add(stats);
    showRefused(stats.refused);
    setText(byId('version'), stats.version);
    setText(byId('sessions-count'), number(sessions));
    setText(byId('channels-count'), number(channels));
    setText(byId('alarms-count'), number(alarms));
    setText(byId('nodes-count'), number(nodes));
    // A server that is alone is no news.
    byId('nodes-section').hidden = nodes < 2;
    setText(byId('figures-title'), nodes < 2 ? 'Now' : 'Now, on one node');
    if (Date.now() > this.#toldUntil) show('live', 'Live');
  }

  /** Runs `work` and reports a failure: with `report` if given, otherwise at the top of the page. */
  async attempt(work, report) {
    try {
      await work();
    } catch (error) {
      if (report !== undefined && error.status !== 401) report(error.message);
      else this.#fail(error);
    }
  }

  /** Shows a confirmation. */
  confirm(words) {
    this.#toldUntil = Date.now() + TOLD_FOR;
    show('live', words);
  }

  #fail(error) {
    // Answers after signing out are ignored.
    if (this.#hasEnded) return;
    if (error.status === 401) {
      signOut();
      setText(byId('key-problem'), 'This key is no longer valid.');
      return;
    }
    this.#toldUntil = error.status === 0 ? 0 : Date.now() + TOLD_FOR;
    show('trouble', error.message);
  }

  #withRates(channels) {
    const time = Date.now();
    const items = channels.map((channel) => {
      const now = { time, publications: channel.publications };
      const before = this.#channelsBefore.get(channel.name);
      return { ...channel, now, rate: rate(now, before, 'publications') };
    });
    this.#channelsBefore = new Map(items.map(({ name, now }) => [name, now]));
    return items;
  }
}

/** The reasons for refused clients, without those that did not occur. */
function showRefused(refused) {
  const reasons = Object.entries(refused).filter(([, count]) => count > 0);
  byId('refused').hidden = reasons.length === 0;
  setText(byId('refused'), `Refused clients since the start: ${reasons.map(([reason, count]) => `${reason} ${number(count)}`).join(', ')}`);
}

let board;

async function signIn(api) {
  const candidate = new Board(api);
  await candidate.start();
  board = candidate;
  api.keep();
  byId('sign-in').hidden = true;
  byId('board').hidden = false;
  byId('sign-out').hidden = false;
}

function signOut() {
  board?.stop();
  board = undefined;
  Api.forget();
  for (const dialog of document.querySelectorAll('dialog')) dialog.close();
  byId('board').hidden = true;
  byId('sign-out').hidden = true;
  offerSignIn();
}

function offerSignIn() {
  show('out', 'Not signed in');
  setText(byId('key-problem'), '');
  byId('sign-in').hidden = false;
  byId('key').focus();
}

function show(state, words) {
  byId('state').dataset.state = state;
  setText(byId('state'), words);
}

byId('sign-in').addEventListener('submit', async (event) => {
  event.preventDefault();
  const field = byId('key');
  setText(byId('key-problem'), '');
  try {
    await signIn(new Api(field.value.trim()));
    field.value = '';
    byId('sessions-user').focus();
  } catch (error) {
    setText(byId('key-problem'), error.status === 401 ? 'This key is not valid.' : error.message);
    field.select();
  }
});
byId('sign-out').addEventListener('click', signOut);

const kept = Api.kept();
if (kept === undefined) {
  offerSignIn();
} else {
  signIn(kept).catch((error) => {
    signOut();
    setText(byId('key-problem'), error.message);
  });
}
