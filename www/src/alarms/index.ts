import type { App } from '../app';
import { describe } from '../client';
import { button, make, setText, showFieldError } from '../dom';
import { icon } from '../icons';
import { lengthOf } from '../names';
import type { Mounted, Panel } from '../panel';
import { counted, timeOf } from '../words';
import type { AlarmRecipient, Severity } from '../generated/contract';
import type { Raised, Received } from './desk';
import { RuleCard } from './rule';
import './alarms.css';

/** Messages that have to be acknowledged. The alarms themselves are in `desk.ts`, because they arrive on every panel. */
export const panel: Panel = {
  id: 'alarms',
  title: 'Alarms',
  mount: (root, app) => new Alarms(root, app),
};

/** The server's bound. */
const MAX_TEXT = 500;

const SEVERITIES: readonly { readonly id: Severity; readonly title: string }[] = [
  { id: 'info', title: 'Info' },
  { id: 'warning', title: 'Warning' },
  { id: 'critical', title: 'Critical' },
];

class Alarms implements Mounted {
  readonly #app: App;
  readonly #rule: RuleCard;
  readonly #lists = make('div', { class: 'alarm-lists' });
  readonly #to = make('select', { id: 'alarm-to' });
  readonly #text = make('input', { id: 'alarm-text', type: 'text', autocomplete: 'off', placeholder: 'The coffee machine is empty', 'aria-describedby': 'alarm-error' });
  readonly #recipients = new Map<string, HTMLOptionElement>();
  #isShown = false;

  constructor(root: HTMLElement, app: App) {
    this.#app = app;
    this.#rule = new RuleCard(app);
    root.append(make('div', { class: 'panel-body alarms' }, this.#head(), make('div', { class: 'alarm-columns' }, make('div', { class: 'alarm-forms' }, this.#form(), this.#rule.element), this.#lists)));
    app.alarms.changes.add(() => this.#show());
    app.people.changes.add(() => this.#showPeople());
    this.#showPeople();
  }

  show(): void {
    this.#isShown = true;
    this.#rule.show();
    this.#show();
  }

  hide(): void {
    this.#isShown = false;
    this.#rule.hide();
  }

  focus(): void {
    this.#text.focus();
  }

  #head(): HTMLElement {
    const { signals } = this.#app;
    const sound = make('input', { type: 'checkbox', role: 'switch', id: 'alarm-sound' });
    sound.checked = signals.sound;
    sound.addEventListener('change', () => signals.setSound(sound.checked));
    const ask = button({ id: 'alarm-notify' }, () => void signals.askForNotifications());
    const showPermission = (): void => {
      const permission = signals.notifications;
      ask.hidden = permission === 'unsupported';
      ask.setAttribute('aria-disabled', String(permission !== 'default'));
      setText(ask, permission === 'granted' ? 'Notifications are on' : permission === 'denied' ? 'Notifications are blocked in the browser' : 'Allow notifications');
    };
    signals.changes.add(showPermission);
    showPermission();
    return make(
      'header',
      { class: 'panel-head' },
      make('div', {}, make('h1', {}, 'Alarms'), make('p', { class: 'hint' }, 'An alarm overtakes everything that waits, and comes back until you have acknowledged it.')),
      make('div', { class: 'alarm-signals' }, make('label', { class: 'switch' }, sound, make('span', {}, 'Sound')), ask),
    );
  }

  #form(): HTMLElement {
    const error = make('p', { id: 'alarm-error', class: 'field-error', role: 'status' });
    const segments = SEVERITIES.map(({ id, title }) => {
      const radio = make('input', { type: 'radio', name: 'severity', value: id });
      radio.checked = id === 'warning';
      return make('label', { class: id }, radio, make('span', {}, icon(id), title));
    });
    const send = make('button', { id: 'alarm-send', class: 'primary', type: 'submit' }, 'Raise the alarm');
    const form = make(
      'form',
      { id: 'raise', class: 'card alarm-form', novalidate: true, 'aria-labelledby': 'raise-title' },
      make('h2', { id: 'raise-title' }, 'Raise an alarm'),
      make('fieldset', { class: 'segments severities' }, make('legend', { class: 'visually-hidden' }, 'Severity'), ...segments),
      make('div', { class: 'field' }, make('label', { for: 'alarm-text' }, 'Text'), this.#text, error),
      make('div', { class: 'field' }, make('label', { for: 'alarm-to' }, 'To'), this.#to),
      send,
    );
    this.#text.addEventListener('input', () => showFieldError(this.#text, error, undefined));
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      const text = this.#text.value.trim();
      const length = lengthOf(text);
      const problem = text === '' ? 'Type the text of the alarm.' : length > MAX_TEXT ? `An alarm has at most ${MAX_TEXT} characters; this one has ${length}.` : undefined;
      showFieldError(this.#text, error, problem);
      this.#text.focus();
      if (problem !== undefined) return;
      const severity = SEVERITIES.find(({ id }) => id === new FormData(form).get('severity'))?.id ?? 'warning';
      const to = this.#to.value;
      this.#app.alarms.raise({ severity, text, ...(to !== '' && { to }) }).then(
        () => {
          this.#text.value = '';
          this.#app.announce('The alarm is raised.');
        },
        (failure: unknown) => showFieldError(this.#text, error, `The alarm was not raised: ${describe(failure)}`),
      );
    });
    return form;
  }

  /** Options are kept from one list to the next, because one of them may be chosen. */
  #showPeople(): void {
    const options = new Map([['', 'Everyone'], ...this.#app.people.others.map(({ user, name }): [string, string] => [user, name])]);
    for (const [user, option] of this.#recipients) {
      if (options.has(user)) continue;
      option.remove();
      this.#recipients.delete(user);
    }
    for (const [user, name] of options) {
      const option = this.#recipients.get(user) ?? make('option', { value: user });
      setText(option, name);
      if (this.#recipients.has(user)) continue;
      this.#recipients.set(user, option);
      this.#to.append(option);
    }
  }

  #show(): void {
    if (!this.#isShown) return;
    const { raised, received } = this.#app.alarms;
    const open = received.filter(({ state }) => state === 'open');
    const past = received.filter(({ state }) => state !== 'open');
    // The focus stays on the button with the same name in the same alarm.
    const focus = document.activeElement?.closest<HTMLElement>('[data-keep]')?.dataset['keep'];
    this.#lists.replaceChildren(
      ...(open.length > 0 ? [section('Waiting for you', open.map((alarm) => this.#received(alarm)))] : []),
      ...(raised.length > 0 ? [section('Raised by you', raised.map((alarm) => this.#raised(alarm)))] : []),
      ...(past.length > 0 ? [section('Earlier', past.map((alarm) => this.#received(alarm)))] : []),
    );
    if (this.#lists.childElementCount === 0) {
      this.#lists.append(make('div', { class: 'empty-state' }, icon('alarms'), make('h2', {}, 'All is quiet'), make('p', {}, 'Raise an alarm, and watch here who gets it and who acknowledges it. It lies over every panel of every open page.')));
    }
    if (focus !== undefined) this.#lists.querySelector<HTMLElement>(`[data-keep="${CSS.escape(focus)}"]`)?.focus();
  }

  #received({ id, message, time, state }: Received): HTMLElement {
    const { severity, text, name, from, personal } = message;
    const origin = from === undefined ? 'The rule' : from === this.#app.me.user ? 'You' : name;
    const words = `${origin} · ${personal ? 'to you' : 'to everyone'} · ${timeOf(time)}`;
    const end =
      state === 'open'
        ? button({ class: 'primary', 'data-keep': `acknowledge ${id}` }, () => this.#app.alarms.acknowledge(id), 'Acknowledge')
        : make('span', { class: 'pill' }, state === 'acknowledged' ? 'Acknowledged' : 'Over');
    return row(severity, text, words, end);
  }

  #raised({ id, request, time, progress }: Raised): HTMLElement {
    const to = request.to === undefined ? 'to everyone' : `to ${this.#app.people.nameOf(request.to)}`;
    const isOver = progress?.over === true;
    const end = isOver ? make('span', { class: 'pill' }, 'Over') : button({ class: 'quiet', 'data-keep': `withdraw ${id}` }, () => this.#app.alarms.withdraw(id), 'Withdraw');
    const item = row(request.severity, request.text, `${to} · ${timeOf(time)}`, end);
    if (progress !== undefined) {
      const { acknowledged, received, sent, waiting } = progress;
      const all = acknowledged + received + sent + waiting;
      item.append(
        make('div', { class: 'alarm-progress' }, make('progress', { max: Math.max(1, all), value: acknowledged, 'aria-label': 'Acknowledged' }), make('p', { class: 'hint numbers' }, `${acknowledged} of ${counted(all, 'recipient')} acknowledged, ${received + acknowledged} received`)),
        make('ul', { class: 'recipients' }, ...progress.recipients.map((recipient) => this.#recipient(recipient))),
      );
    }
    return item;
  }

  #recipient({ user, person, progress }: AlarmRecipient): HTMLElement {
    const name = user === this.#app.me.user ? 'You' : (person?.name ?? this.#app.people.nameOf(user));
    return make('li', { class: `recipient ${progress}` }, icon(progress === 'acknowledged' ? 'check' : progress === 'received' ? 'alarms' : 'send'), make('bdi', {}, name), make('span', { class: 'hint' }, PROGRESS[progress]));
  }
}

const PROGRESS: Readonly<Record<AlarmRecipient['progress'], string>> = {
  waiting: 'away',
  sent: 'sent',
  received: 'has it',
  acknowledged: 'acknowledged',
};

function section(title: string, items: readonly HTMLElement[]): HTMLElement {
  return make('section', {}, make('h2', {}, title), make('ul', { class: 'alarm-list' }, ...items));
}

function row(severity: Severity, text: string, words: string, end: HTMLElement): HTMLLIElement {
  return make(
    'li',
    { class: `card alarm-row ${severity}` },
    make('div', { class: 'alarm-line' }, icon(severity), make('div', { class: 'alarm-words' }, make('p', { class: 'alarm-text', dir: 'auto' }, make('span', { class: 'visually-hidden' }, `${severity}: `), text), make('p', { class: 'hint' }, words)), end),
  );
}
