// People who use the page, each in a browser context of their own, so that they share no storage.
import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

export const ARTEFACTS = fileURLToPath(new URL('../../../target/artefacts/', import.meta.url));
/** The time limit for the page's reactions, in ms. */
const PATIENCE = 15_000;

/** The options of a small phone's browser context. */
export const PHONE = { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true, deviceScaleFactor: 2 };

/** The ways in which people see the page. */
export const SIGHTS = { light: {}, dark: { colorScheme: 'dark' }, phone: PHONE, 'phone-dark': { ...PHONE, colorScheme: 'dark' } };

/** The browser's words about a server that went away. */
export const LOST_CONNECTION = /^console: (WebSocket connection to .* failed|Failed to load resource)/;

export function launch() {
  mkdirSync(ARTEFACTS, { recursive: true });
  // Without a sandbox, because CI runs as root, where Chromium's sandbox can't start.
  return chromium.launch({ executablePath: process.env['CHROMIUM'] ?? '/usr/bin/chromium', args: ['--no-sandbox'] });
}

export class Person {
  /** Problems in the page: console errors, uncaught exceptions, violations of the content security policy. */
  problems = [];
  page;
  #reports = new EventEmitter();

  /**
   * Opens `address` in a new context with Playwright's context `options`; `prepare` is called with the page before
   * that. With a `name` the person has it from the beginning.
   */
  static async open(browser, address, { name, ...options } = {}, prepare = () => undefined) {
    const person = new Person();
    const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, locale: 'en-GB', ...options });
    context.setDefaultTimeout(PATIENCE);
    await context.exposeBinding('reportViolation', (_, what) => person.#report(`policy violation: ${what}`));
    await context.addInitScript(() => {
      document.addEventListener('securitypolicyviolation', (event) => {
        globalThis.reportViolation(`${event.violatedDirective} ${event.blockedURI}`);
      });
    });
    if (name !== undefined) await context.addInitScript(haveName, [name, newKey()]);
    person.page = await person.#watch(context);
    await prepare(person.page);
    await person.page.goto(address);
    return person;
  }

  /** Opens another tab of the same browser. */
  async tab(address) {
    const other = new Person();
    other.page = await this.#watch(this.page.context());
    await other.page.goto(address);
    return other;
  }

  /** Ends the visit. Any problem that does not match `expected` fails the test. */
  async leave({ expected } = {}) {
    await this.page.context().close();
    assert.deepEqual(this.problems.filter((problem) => expected?.test(problem) !== true), [], 'the page reported problems');
  }

  async #watch(context) {
    const page = await context.newPage();
    page.on('console', (message) => {
      if (message.type() === 'error') this.#report(`console: ${message.text()}`);
    });
    page.on('pageerror', (error) => this.#report(`uncaught: ${error.stack ?? error}`));
    return page;
  }

  #report(problem) {
    this.problems.push(problem);
    this.#reports.emit('problem');
  }

  /** Waits until a problem was reported for each of these patterns. */
  async reported(patterns) {
    const signal = AbortSignal.timeout(PATIENCE);
    while (!patterns.every((pattern) => this.problems.some((problem) => pattern.test(problem)))) {
      await once(this.#reports, 'problem', { signal });
    }
  }

  async connected() {
    await this.page.waitForSelector('#connection[data-link="connected"]');
  }

  /** Shows the place with this address. */
  async go(address) {
    await this.page.evaluate((hash) => {
      location.hash = hash;
    }, `#${address}`);
  }

  /** Waits until this person has entered the room: its note then shows the number of people. */
  async inRoom(room) {
    await this.connected();
    await this.waitFor(
      (name) =>
        document.querySelector('#room-title bdi')?.textContent === name &&
        /people here|person here|Only you/.test(document.getElementById('room-note').textContent),
      room,
    );
  }

  /** Takes another name in the dialog. */
  async rename(name) {
    await this.page.click('#me');
    await this.page.fill('#name', name);
    await this.page.press('#name', 'Enter');
    await this.reads('.me-name', name);
  }

  /** The name in the page's header. */
  name() {
    return this.page.locator('.me-name').textContent();
  }

  /** The user's id, as the list of people of the others has it. */
  async userAt(other) {
    const name = await this.name();
    const row = other.page.locator('#people-list a').filter({ has: other.page.locator('.row-name', { hasText: exactly(name) }) });
    await row.waitFor({ state: 'attached' });
    return row.getAttribute('data-user');
  }

  /** Writes a message and waits until it is sent. */
  async say(text) {
    await this.page.fill('#message', text);
    await this.page.press('#message', 'Enter');
    return this.hears(text, { own: true });
  }

  /** Waits for a message with exactly this text, and returns its item. */
  async hears(text, { own = false } = {}) {
    const item = this.page.locator(`#messages > .message${own ? '.own' : ':not(.own)'}`).filter({
      has: this.page.locator('.text', { hasText: exactly(text) }),
    });
    await item.last().waitFor({ state: 'attached' });
    return item.last();
  }

  /** Reacts to the message with that text. */
  async react(text, name) {
    const item = this.page.locator('#messages > .message').filter({ hasText: text }).last();
    await item.hover();
    await item.getByRole('button', { name: 'React' }).click();
    await this.page.locator('#picker').getByRole('button', { name }).click();
  }

  /** Raises an alarm, on the panel of the alarms. Without `to` it is for everyone. */
  async raise({ severity, text, to }) {
    await this.page.locator(`input[name="severity"][value="${severity}"]`).check({ force: true });
    await this.page.fill('#alarm-text', text);
    if (to !== undefined) await this.page.selectOption('#alarm-to', { label: to });
    await this.page.click('#alarm-send');
    await this.reads('.alarm-lists', new RegExp(`Raised by you.*${text}`, 's'));
  }

  /** The texts of every message on the page. */
  texts() {
    return this.page.locator('#messages .text').allTextContents();
  }

  /** The text of the element, as soon as it matches. */
  async reads(selector, pattern) {
    const element = this.page.locator(selector).filter({ hasText: pattern });
    await element.first().waitFor({ state: 'attached' });
    return element.first().textContent();
  }

  /** Waits until `predicate` holds within the page. */
  waitFor(predicate, argument) {
    return this.page.waitForFunction(predicate, argument);
  }

  /** The right edges of these elements, in CSS pixels. */
  rightEdges(selector) {
    return this.page.locator(selector).evaluateAll((elements) => elements.map((element) => element.getBoundingClientRect().right));
  }

  /** The id of the element that has the keyboard's focus. */
  focus() {
    return this.page.evaluate(() => document.activeElement?.id ?? '');
  }

  screenshot(name) {
    return this.page.screenshot({ path: `${ARTEFACTS}page-${name}.png` });
  }
}

function newKey() {
  return Array.from({ length: 32 }, () => Math.floor(Math.random() * 16).toString(16)).join('');
}

/** Runs in the page, before its own script, at each load. */
function haveName([name, key]) {
  // A page such as about:blank has no storage.
  if (location.protocol !== 'http:') return;
  if (localStorage.getItem('wirehub-demo.me') === null) localStorage.setItem('wirehub-demo.me', JSON.stringify({ key, name }));
}

export function exactly(text) {
  return new RegExp(`^${text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}$`);
}
