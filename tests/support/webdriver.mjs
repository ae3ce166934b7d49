// Firefox and WebKit by WebDriver: HTTP to a driver process, which has one page. Playwright can't drive Debian's builds of them.
//
//   FIREFOX, GECKODRIVER  where they are
//   WEBKIT_DRIVER, XVFB   where the driver of Debian's WebKit is, and a display for it: it can't run without one

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';

import { freePort } from './ports.mjs';

/** The time limit for the start of a driver, in ms. */
const START = 20_000;
/** The name of an element's id in the protocol. */
const ELEMENT = 'element-6066-11e4-a52e-4f735466cecf';
/** Runs code in the page, and waits for its answer. */
const RUN = `
  const [code, done] = arguments;
  document.addEventListener('answer', ({ detail }) => done(detail), { once: true });
  const script = document.createElement('script');
  script.textContent = code;
  document.head.append(script);
`;

/**
 * `patience` is the time limit for a condition or a function in the page, in ms. With `acceptInsecureCerts` certificates need no
 * authority.
 *
 * @typedef {{ patience?: number, acceptInsecureCerts?: boolean }} Options
 */

/** A browser with an empty profile and one page. */
class Browser {
  /** The driver first. */
  #processes;
  #address;
  #session;

  constructor(address, ...processes) {
    this.#address = address;
    this.#processes = processes;
  }

  /** Starts the browser itself. `own` are its own capabilities. */
  async begin({ patience = 20_000, acceptInsecureCerts = false }, own = {}) {
    const alwaysMatch = { acceptInsecureCerts, timeouts: { script: patience }, ...own };
    try {
      const { sessionId } = await this.#ask('POST', '/session', { capabilities: { alwaysMatch } });
      this.#session = `/session/${sessionId}`;
    } catch (error) {
      await this.stop();
      throw error;
    }
    return this;
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

  /** The result of `inPage`, an async function that runs among the page's variables. The page's policy has to allow inline scripts. */
  async evaluate(inPage, argument) {
    // A script of the driver runs in a separate world, without the page's variables. This moves it into the page's.
    const code = `(${inPage})(${JSON.stringify(argument)})
      .then((value) => ({ value }), (error) => ({ error: String(error) }))
      .then((answer) => document.dispatchEvent(new CustomEvent('answer', { detail: JSON.stringify(answer) })));`;
    const { value, error } = JSON.parse(await this.#ask('POST', `${this.#session}/execute/async`, { script: RUN, args: [code] }));
    if (error !== undefined) throw new Error(error);
    return value;
  }

  /** A picture of the page, as PNG. */
  async screenshot() {
    return Buffer.from(await this.#ask('GET', `${this.#session}/screenshot`), 'base64');
  }

  async stop() {
    try {
      // Ends the browser. Killing the driver would leave it running.
      if (this.#session !== undefined) await this.#ask('DELETE', this.#session);
    } finally {
      for (const process of this.#processes) await end(process);
    }
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

export class Firefox extends Browser {
  /** @param {Options} options */
  static start(options = {}) {
    return started(async (run) => {
      const driver = run(process.env['GECKODRIVER'] ?? 'geckodriver', ['--host', '127.0.0.1', '--port', '0'], { stdio: ['ignore', 'pipe', 'inherit'] });
      const address = await printed(driver, /Listening on (\S+)/);
      const binary = process.env['FIREFOX'];
      const firefox = { args: ['-headless'], ...(binary !== undefined && { binary }) };
      return new Firefox(`http://${address}`, driver).begin(options, { 'moz:firefoxOptions': firefox });
    });
  }
}

export class WebKit extends Browser {
  /** @param {Options} options */
  static start(options = {}) {
    return started(async (run) => {
      const screen = run(process.env['XVFB'] ?? 'Xvfb', ['-displayfd', '1', '-screen', '0', '1280x800x24', '-nolisten', 'tcp'], { stdio: ['ignore', 'pipe', 'ignore'] });
      const display = await printed(screen, /^(\d+)$/);
      // This driver takes no port 0 and prints nothing.
      const port = await freePort();
      // Without a language this browser takes the name of a missing one, `C`, for the user's, and `Intl` refuses it.
      const environment = { ...process.env, DISPLAY: `:${display}`, LANG: 'en_GB.UTF-8' };
      const driver = run(process.env['WEBKIT_DRIVER'] ?? 'WebKitWebDriver', ['--host=127.0.0.1', `--port=${port}`], { stdio: ['ignore', 'ignore', 'inherit'], env: environment });
      const address = `http://127.0.0.1:${port}`;
      await answers(`${address}/status`, driver);
      return new WebKit(address, driver, screen).begin(options);
    });
  }
}

/** The browser that `begin` makes with the programs that it runs. If that fails, they end. */
async function started(begin) {
  const processes = [];
  const run = (program, args, options) => {
    const process = spawn(program, args, options);
    // A program that is missing prints nothing and answers nothing, which is noticed.
    process.on('error', () => undefined);
    processes.unshift(process);
    return process;
  };
  try {
    return await begin(run);
  } catch (error) {
    for (const process of processes) await end(process);
    throw error;
  }
}

/** The first group of the first line of a process's output that matches. */
async function printed(process, pattern) {
  let found;
  for await (const line of createInterface({ input: process.stdout, signal: AbortSignal.timeout(START) })) {
    found = pattern.exec(line)?.[1];
    if (found !== undefined) break;
  }
  process.stdout.resume();
  if (found !== undefined) return found;
  throw new Error(`${process.spawnfile} ended or was silent for ${START / 1000} s instead of printing ${pattern}`);
}

async function answers(url, driver) {
  const until = performance.now() + START;
  while (driver.pid !== undefined && driver.exitCode === null && performance.now() < until) {
    if (await fetch(url).then((response) => response.ok, () => false)) return;
    await pause(20);
  }
  throw new Error(`${driver.spawnfile} ended or did not answer at ${url} within ${START / 1000} s`);
}

async function end(process) {
  if (process.pid === undefined || process.exitCode !== null || process.signalCode !== null) return;
  const ended = once(process, 'exit');
  process.kill();
  await ended;
}
