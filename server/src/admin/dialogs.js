// What opens above the board: one session, one channel, one alarm.

import { segment } from './api.js';
import { element, duration } from './dom.js';

/** How much of a channel's history is shown, and how many of those who are there. */
const HISTORY = 20;
const HERE = 100;

/** How far an alarm has got with somebody; who has not acknowledged it comes first. */
const PROGRESS = [
  { progress: 'waiting', title: 'Not connected since' },
  { progress: 'sent', title: 'On its way' },
  { progress: 'received', title: 'Received' },
  { progress: 'acknowledged', title: 'Acknowledged' },
];

/** Whether a client comes back is in the code that its session ends with. */
const ENDINGS = [
  { code: 3506, text: 'for good: the client does not come back by itself' },
  { code: 3000, text: 'for now: the client connects again at once' },
];

/** Shows a session with its subscriptions, which can be ended, as can the session. */
export async function showSession(board, { session }) {
  const details = await board.api.get(`sessions/${segment(session)}`);
  const facts = {
    User: details.user ?? 'anonymous',
    Session: details.session,
    Address: details.address ?? 'not known',
    Protocol: details.subprotocol,
    Connected: `${new Date(details.connected).toLocaleString()} (${duration(board.now() - details.connected)})`,
  };
  if (details.info !== undefined) facts.Shown = JSON.stringify(details.info);
  const subscriptions = details.subscriptions.map((channel) => {
    const item = element('li', {}, element('span', {}, channel));
    const end = async () => {
      await board.api.post(`sessions/${segment(session)}/unsubscribe`, { channel });
      item.remove();
      board.tell(`The session's subscription to ${channel} was ended.`);
    };
    item.append(button('Unsubscribe', () => board.attempt(end), `Unsubscribe from ${channel}`));
    return item;
  });
  const list =
    subscriptions.length === 0 ? element('p', { class: 'muted' }, 'It is subscribed to nothing.') : element('ul', {}, ...subscriptions);
  const heading = details.next === undefined ? 'Subscriptions' : `Subscriptions, the first ${subscriptions.length} of ${details.channels}`;
  const dialog = open('Session', factList(facts), element('h3', {}, heading), list);
  dialog.querySelector('.buttons').prepend(
    button('Disconnect…', () => {
      dialog.close();
      endSession(board, details);
    }),
  );
}

/** Asks how a session shall end, and ends it. */
export function endSession(board, { session, user }) {
  const reason = element('input', { id: 'ending-reason', maxlength: '100', autocomplete: 'off' });
  const choices = ENDINGS.map(({ code, text }, index) => {
    const choice = element('input', { type: 'radio', name: 'ending', value: String(code), checked: index === 0 });
    return element('label', {}, choice, ` ${text}`);
  });
  const dialog = open(
    `Disconnect ${user ?? 'an anonymous session'}`,
    element('fieldset', {}, element('legend', {}, 'It ends'), ...choices),
    element('label', { for: 'ending-reason' }, 'Reason, which the client is told'),
    reason,
  );
  const end = async () => {
    const code = Number(dialog.querySelector('input[name=ending]:checked').value);
    await board.api.post(`sessions/${segment(session)}/disconnect`, { code, reason: reason.value });
    dialog.close();
    board.tell('The session was ended.');
    await board.refresh();
  };
  const confirm = button('Disconnect', () => board.attempt(end));
  confirm.className = 'danger';
  dialog.querySelector('.buttons').prepend(confirm);
}

/** Shows who is in a channel, and the newest of what it keeps. */
export async function showChannel(board, { name, history }) {
  const path = `channels/${segment(name)}`;
  const [presence, kept] = await Promise.all([
    board.api.get(`${path}/presence`, { limit: HERE }),
    history ? board.api.get(`${path}/history`, { limit: HISTORY, reverse: true }) : undefined,
  ]);
  const facts = { Sessions: String(presence.sessions), Users: String(presence.users) };
  if (kept !== undefined) facts['Newest offset'] = String(kept.position.offset);
  const users = presence.members.map(({ user, session }) => user ?? `anonymous (${session})`);
  const publications = (kept?.publications ?? []).map((publication) =>
    element(
      'li',
      {},
      element('span', { class: 'muted' }, `${publication.offset} · ${new Date(publication.time).toLocaleTimeString()} · ${publication.publisher?.user ?? 'server'}`),
      element('code', {}, publication.bytes === undefined ? JSON.stringify(publication.data) : `${publication.bytes} (base64)`),
    ),
  );
  const dialog = open(
    name,
    factList(facts),
    element('h3', {}, presence.next === undefined ? 'Here' : `Here, the first ${HERE}`),
    element('p', { class: 'names' }, users.join(', ')),
    element('h3', {}, 'History, the newest first'),
    publications.length === 0
      ? element('p', { class: 'muted' }, history ? 'There is nothing in it.' : 'The channel keeps none.')
      : element('ul', { class: 'history' }, ...publications),
  );
  dialog.querySelector('.buttons').prepend(
    button('Publish here', () => {
      dialog.close();
      board.publishTo(name);
    }),
  );
}

/** Shows who has an alarm, and who has acknowledged it; it can be withdrawn. */
export async function showAlarm(board, { alarm }) {
  const path = `alarms/${segment(alarm)}`;
  const ledger = await board.api.get(path);
  const recipients = (progress) => {
    const named = ledger.recipients.filter((recipient) => recipient.progress === progress).slice(0, HERE);
    const names = named.map(({ user, session }) => user ?? `anonymous (${session})`);
    const others = ledger[progress] - names.length;
    return [...names, ...(others > 0 ? [`and ${others} more`] : [])].join(', ');
  };
  const parts = PROGRESS.filter(({ progress }) => ledger[progress] > 0).flatMap(({ progress, title }) => [
    element('h3', {}, `${title}: ${ledger[progress]}`),
    element('p', { class: 'names' }, recipients(progress)),
  ]);
  const facts = {
    Raised: new Date(ledger.time).toLocaleString(),
    Lasts: duration(ledger.ttl),
    State: ledger.state,
    Message: ledger.bytes === undefined ? JSON.stringify(ledger.data) : `${ledger.bytes} (base64)`,
  };
  const dialog = open(`Alarm ${ledger.channel}`, factList(facts), ...parts);
  if (ledger.state !== 'active') return;
  const withdraw = async () => {
    await board.api.delete(path);
    dialog.close();
    board.tell('The alarm was withdrawn.');
    await board.refresh();
  };
  const confirm = button('Withdraw', () => board.attempt(withdraw));
  confirm.className = 'danger';
  dialog.querySelector('.buttons').prepend(confirm);
}

/** Opens a dialog that goes when it is closed, and gives the focus back. */
function open(title, ...content) {
  const heading = element('h2', { id: 'dialog-title' }, title);
  const buttons = element('div', { class: 'buttons' });
  // What is long scrolls, by the keyboard too.
  const body = element('div', { class: 'dialog-body', tabindex: '0', role: 'group', 'aria-labelledby': 'dialog-title' }, ...content);
  const dialog = element('dialog', { 'aria-labelledby': 'dialog-title', onclose: () => dialog.remove() }, heading, body, buttons);
  buttons.append(button('Close', () => dialog.close()));
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

function button(text, onclick, label) {
  return element('button', { type: 'button', class: 'quiet', 'aria-label': label, onclick }, text);
}

function factList(facts) {
  const pairs = Object.entries(facts).map(([name, value]) => element('div', {}, element('dt', {}, name), element('dd', {}, value)));
  return element('dl', {}, ...pairs);
}
