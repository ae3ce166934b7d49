// Pages in Chromium, Firefox and WebKit. `evaluate` runs a function in the page and waits for its result.
//
//   CHROMIUM, FIREFOX, GECKODRIVER  where they are
//   WEBKIT_DRIVER, XVFB             as well, on systems that have them. Otherwise no test runs in WebKit

import { Firefox, WebKit } from '../../../../tests/support/webdriver.mjs';
import { launch } from '../browser/browser.mjs';

/** The time limit for a function in a page, in ms. */
const PATIENCE = 60_000;

export const BROWSERS = {
  Chromium: () => Chromium.start(),
  Firefox: async () => new Driven(Firefox),
  ...(process.env['WEBKIT_DRIVER'] !== undefined && { WebKit: async () => new Driven(WebKit) }),
};

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

/** A browser for each page: a driver of WebDriver has one page. */
class Driven {
  #Browser;
  #running = new Set();

  constructor(Browser) {
    this.#Browser = Browser;
  }

  async open(url) {
    const browser = await this.#Browser.start({ patience: PATIENCE, acceptInsecureCerts: true });
    this.#running.add(browser);
    const close = async () => {
      this.#running.delete(browser);
      await browser.stop();
    };
    try {
      await browser.open(url);
    } catch (error) {
      await close();
      throw error;
    }
    return { evaluate: (inPage, argument) => browser.evaluate(inPage, argument), close };
  }

  async stop() {
    await Promise.all([...this.#running].map((browser) => browser.stop()));
  }
}
