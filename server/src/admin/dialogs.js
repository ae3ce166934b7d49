// The dialogs above the board: a session, a channel, an alarm.

import { segment } from './api.js';
import { element, duration } from './dom.js';

/** The number of messages of a channel's history, and of its members. */
const HISTORY = 20;
const MEMBERS = 100;

/** The progress of an alarm at a recipient; those who have not acknowledged it come first. */
const PROGRESS = [
  { progress: 'waiting', title: 'Not connected yet' },
  { progress: 'sent', title: 'Sent' },
  { progress: 'received', title: 'Received' },
  { progress: 'acknowledged', title: 'Acknowledged' },
];

/** The close code decides whether the client reconnects. */
const ENDINGS = [
  { code: 3506, text: 'for good: the client does not reconnect by itself' },
  { code: 3000, text: 'for now: the client reconnects at once' },
];

/** Shows a session with its subscriptions, with buttons to end either. */
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
      board.confirm(`The session's subscription to ${channel} was ended.`);
    };
    item.append(button('Unsubscribe', () => board.attempt(end), `Unsubscribe from ${channel}`));
    return item;
  });
  const list =
    subscriptions.length === 0 ? element('p', { class: 'muted' }, 'No subscriptions.') : element('ul', {}, ...subscriptions);
  const heading = details.next === undefined ? 'Subscriptions' : `Subscriptions, the first ${subscriptions.length} of ${details.channels}`;
  const dialog = open('Session', factList(facts), element('h3', {}, heading), list);
  dialog.querySelector('.buttons').prepend(
    button('Disconnect…', () => {
      dialog.close();
      endSession(board, details);
    }),
  );
}

/** Asks for the close code and the reason, and ends a session. */
export function endSession(board, { session, user }) {
  const reason = element('input', { id: 'ending-reason', maxlength: '100', autocomplete: 'off' });
  const choices = ENDINGS.map(({ code, text }, index) => {
    const choice = element('input', { type: 'radio', name: 'ending', value: String(code), checked: index === 0 });
    return element('label', {}, choice, ` ${text}`);
  });
  const dialog = open(
    `Disconnect ${user ?? 'an anonymous session'}`,
    element('fieldset', {}, element('legend', {}, 'End it'), ...choices),
    element('label', { for: 'ending-reason' }, 'Reason, for the client'),
    reason,
  );
  const end = async () => {
    const code = Number(dialog.querySelector('input[name=ending]:checked').value);
    await board.api.post(`sessions/${segment(session)}/disconnect`, { code, reason: reason.value });
    dialog.close();
    board.confirm('The session was ended.');
    await board.refresh();
  };
  const confirm = button('Disconnect', () => board.attempt(end));
  confirm.className = 'danger';
  dialog.querySelector('.buttons').prepend(confirm);
}

/** Shows the members of a channel, and its newest messages. */
export async function showChannel(board, { name, history }) {
  const path = `channels/${segment(name)}`;
  const [presence, kept] = await Promise.all([
    board.api.get(`${path}/presence`, { limit: MEMBERS }),
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
    element('h3', {}, presence.next === undefined ? 'Members' : `Members, the first ${MEMBERS}`),
    element('p', { class: 'names' }, users.join(', ')),
    element('h3', {}, 'History, newest first'),
    publications.length === 0
      ? element('p', { class: 'muted' }, history ? 'Empty.' : 'The channel keeps no history.')
      : element('ul', { class: 'history' }, ...publications),
  );
  dialog.querySelector('.buttons').prepend(
    button('Publish here', () => {
      dialog.close();
      board.publishTo(name);
    }),
  );
}

/** Shows an alarm with the progress of its recipients, and a button to withdraw it. */
export async function showAlarm(board, { alarm }) {
  const path = `alarms/${segment(alarm)}`;
  const ledger = await board.api.get(path);
  const recipients = (progress) => {
    const named = ledger.recipients.filter((recipient) => recipient.progress === progress).slice(0, MEMBERS);
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
    board.confirm('The alarm was withdrawn.');
    await board.refresh();
  };
  const confirm = button('Withdraw', () => board.attempt(withdraw));
  confirm.className = 'danger';
  dialog.querySelector('.buttons').prepend(confirm);
}

/** Opens a dialog. Closing removes it and restores the focus. */
function open(title, ...content) {
  const heading = element('h2', { id: 'dialog-title' }, title);
  const buttons = element('div', { class: 'buttons' });
  // Long content scrolls, also with the keyboard.
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
