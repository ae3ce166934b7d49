// People who use the page, each in a browser context of their own, so that they share no storage.
import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

const ARTEFACTS = fileURLToPath(new URL('../../../target/artefacts/', import.meta.url));
/** The time limit for the page's reactions, in ms. */
const PATIENCE = 15_000;

/** The options of a small phone's browser context. */
export const PHONE = { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true, deviceScaleFactor: 2 };

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
   * that.
   */
  static async open(browser, address, options = {}, prepare = () => undefined) {
    const person = new Person();
    const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, locale: 'en-GB', ...options });
    context.setDefaultTimeout(PATIENCE);
    await context.exposeBinding('reportViolation', (_, what) => person.#report(`policy violation: ${what}`));
    await context.addInitScript(() => {
      document.addEventListener('securitypolicyviolation', (event) => {
        globalThis.reportViolation(`${event.violatedDirective} ${event.blockedURI}`);
      });
    });
    person.page = await context.newPage();
    person.page.on('console', (message) => {
      if (message.type() === 'error') person.#report(`console: ${message.text()}`);
    });
    person.page.on('pageerror', (error) => person.#report(`uncaught: ${error.stack ?? error}`));
    prepare(person.page);
    await person.page.goto(address);
    return person;
  }

  /** Ends the visit. Any problem that does not match `expected` fails the test. */
  async leave({ expected } = {}) {
    await this.page.context().close();
    assert.deepEqual(this.problems.filter((problem) => expected?.test(problem) !== true), [], 'the page reported problems');
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

  /** Waits until this person has entered the room: the room's note then shows the number of people. */
  async inRoom(room) {
    await this.connected();
    await this.waitFor(
      (name) =>
        document.getElementById('room-title').textContent === name &&
        /people here|Only you/.test(document.getElementById('room-note').textContent),
      room,
    );
  }

  async rename(nick) {
    await this.page.fill('#nick', nick);
  }

  /** Writes a message and waits until it is sent. */
  async say(text) {
    await this.page.fill('#message', text);
    await this.page.press('#message', 'Enter');
    await this.hears(text, { own: true });
  }

  /** Waits for a message with exactly this text, and returns its item. */
  async hears(text, { own = false } = {}) {
    const item = this.page.locator(`#messages > .message${own ? '.own' : ':not(.own)'}`).filter({
      has: this.page.locator('.text', { hasText: exactly(text) }),
    });
    await item.last().waitFor({ state: 'attached' });
    return item.last();
  }

  /** The texts of every message on the page. */
  texts() {
    return this.page.locator('#messages .text').allTextContents();
  }

  /** The text of the element, as soon as it matches. */
  async reads(selector, pattern) {
    const element = this.page.locator(selector).filter({ hasText: pattern });
    await element.waitFor({ state: 'attached' });
    return element.textContent();
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

function exactly(text) {
  return new RegExp(`^${text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}$`);
}
