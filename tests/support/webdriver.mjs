// Firefox by WebDriver: HTTP to a driver process, which has one page. Debian's Firefox can't be driven by Playwright.
//
//   FIREFOX, GECKODRIVER  where they are

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

/** The time limit for a condition in the page, in ms. */
const PATIENCE = 20_000;
/** The name of an element's id in the protocol. */
const ELEMENT = 'element-6066-11e4-a52e-4f735466cecf';

export class Firefox {
  #process;
  #address;
  #session;

  /** Starts a browser with an empty profile. */
  static async start() {
    const firefox = new Firefox();
    firefox.#process = spawn(process.env['GECKODRIVER'] ?? 'geckodriver', ['--host', '127.0.0.1', '--port', '0'], { stdio: ['ignore', 'pipe', 'inherit'] });
    for await (const line of createInterface({ input: firefox.#process.stdout, signal: AbortSignal.timeout(PATIENCE) })) {
      const [, address] = /Listening on (\S+)/.exec(line) ?? [];
      if (address === undefined) continue;
      firefox.#address = `http://${address}`;
      break;
    }
    firefox.#process.stdout.resume();
    const binary = process.env['FIREFOX'];
    const options = { args: ['-headless'], ...(binary !== undefined && { binary }) };
    const { sessionId } = await firefox.#ask('POST', '/session', { capabilities: { alwaysMatch: { 'moz:firefoxOptions': options, timeouts: { script: PATIENCE } } } });
    firefox.#session = `/session/${sessionId}`;
    return firefox;
  }

  async open(url) {
    await this.#ask('POST', `${this.#session}/url`, { url });
  }

  /** Clicks the first element that matches, as a person would. */
  async click(selector) {
    await this.waitFor((wanted) => document.querySelector(wanted)?.checkVisibility() === true, selector);
    await this.#ask('POST', `${await this.#element(selector)}/click`, {});
  }

  /** Types into an element; for a file field, `text` is the path of a file. */
  async type(selector, text) {
    await this.#ask('POST', `${await this.#element(selector)}/value`, { text });
  }

  /** The result of `condition`, a function in the page, as soon as it is neither `false` nor empty. */
  waitFor(condition, argument) {
    // The script of a driver sees the page's elements, but not its variables: the page's policy does not concern it.
    const script = `
      const [argument, done] = arguments;
      const condition = ${condition};
      const look = () => {
        const result = condition(argument);
        if (result) done(result);
        else requestAnimationFrame(look);
      };
      look();`;
    return this.#ask('POST', `${this.#session}/execute/async`, { script, args: [argument ?? null] });
  }

  /** A picture of the page, as PNG. */
  async screenshot() {
    return Buffer.from(await this.#ask('GET', `${this.#session}/screenshot`), 'base64');
  }

  async stop() {
    const ended = once(this.#process, 'exit');
    // Ends the browser. Killing the driver would leave it running.
    if (this.#session !== undefined) await this.#ask('DELETE', this.#session);
    this.#process.kill();
    await ended;
  }

  async #element(selector) {
    const found = await this.#ask('POST', `${this.#session}/element`, { using: 'css selector', value: selector });
    return `${this.#session}/element/${found[ELEMENT]}`;
  }

  async #ask(method, path, body) {
    const headers = { 'content-type': 'application/json' };
    const response = await fetch(`${this.#address}${path}`, { method, headers, ...(body !== undefined && { body: JSON.stringify(body) }) });
    const { value } = await response.json();
    if (!response.ok) throw new Error(`${value.error}: ${value.message}`);
    return value;
  }
}
