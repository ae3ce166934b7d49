// Pages in Chromium and Firefox. `evaluate` runs a function in the page and waits for its result.
//
//   CHROMIUM, FIREFOX, GECKODRIVER  where they are

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

import { launch } from '../browser/browser.mjs';

/** The time limit for a function in a page, in ms. */
const PATIENCE = 60_000;

export const BROWSERS = { Chromium: () => Chromium.start(), Firefox: () => Firefox.start() };

class Chromium {
  #browser;

  static async start() {
    const chromium = new Chromium();
    chromium.#browser = await launch();
    return chromium;
  }

  /** A page like one that a user has just opened. */
  async open(url) {
    // The tests' servers have self-signed certificates.
    const context = await this.#browser.newContext({ ignoreHTTPSErrors: true });
    const page = await context.newPage();
    await page.goto(url);
    return { evaluate: (inPage, argument) => page.evaluate(inPage, argument), close: () => context.close() };
  }

  stop() {
    return this.#browser.close();
  }
}

const RUN = `
  const [code, done] = arguments;
  document.addEventListener('answer', ({ detail }) => done(detail), { once: true });
  const script = document.createElement('script');
  script.textContent = code;
  document.head.append(script);
`;

/** Debian's Firefox speaks WebDriver: HTTP to a driver process, which has one page each. */
class Firefox {
  #drivers = new Set();

  static async start() {
    return new Firefox();
  }

  async open(url) {
    const driver = await Driver.start();
    this.#drivers.add(driver);
    const close = async () => {
      this.#drivers.delete(driver);
      await driver.stop();
    };
    try {
      await driver.open(url);
    } catch (error) {
      await close();
      throw error;
    }
    return { evaluate: (inPage, argument) => driver.evaluate(inPage, argument), close };
  }

  async stop() {
    await Promise.all([...this.#drivers].map((driver) => driver.stop()));
  }
}

class Driver {
  #process;
  #address;
  #session;

  static async start() {
    const driver = new Driver();
    driver.#process = spawn(process.env['GECKODRIVER'] ?? 'geckodriver', ['--host', '127.0.0.1', '--port', '0'], { stdio: ['ignore', 'pipe', 'inherit'] });
    for await (const line of createInterface({ input: driver.#process.stdout, signal: AbortSignal.timeout(20_000) })) {
      const [, address] = /Listening on (\S+)/.exec(line) ?? [];
      if (address === undefined) continue;
      driver.#address = `http://${address}`;
      break;
    }
    driver.#process.stdout.resume();
    return driver;
  }

  async open(url) {
    const binary = process.env['FIREFOX'];
    const options = { args: ['-headless'], ...(binary !== undefined && { binary }) };
    const { sessionId } = await this.#ask('POST', '/session', { capabilities: { alwaysMatch: { acceptInsecureCerts: true, 'moz:firefoxOptions': options, timeouts: { script: PATIENCE } } } });
    this.#session = `/session/${sessionId}`;
    await this.#ask('POST', `${this.#session}/url`, { url });
  }

  async evaluate(inPage, argument) {
    // A script of the driver runs in a separate world, without the page's variables. This moves it into the page's.
    const code = `(${inPage})(${JSON.stringify(argument)})
      .then((value) => ({ value }), (error) => ({ error: String(error) }))
      .then((answer) => document.dispatchEvent(new CustomEvent('answer', { detail: JSON.stringify(answer) })));`;
    const { value, error } = JSON.parse(await this.#ask('POST', `${this.#session}/execute/async`, { script: RUN, args: [code] }));
    if (error !== undefined) throw new Error(error);
    return value;
  }

  async stop() {
    const ended = once(this.#process, 'exit');
    // Ends the browser. Killing the driver would leave it running.
    if (this.#session !== undefined) await this.#ask('DELETE', this.#session);
    this.#process.kill();
    await ended;
  }

  async #ask(method, path, body) {
    const headers = { 'content-type': 'application/json' };
    const response = await fetch(`${this.#address}${path}`, { method, headers, ...(body !== undefined && { body: JSON.stringify(body) }) });
    const { value } = await response.json();
    if (!response.ok) throw new Error(`${value.error}: ${value.message}`);
    return value;
  }
}
