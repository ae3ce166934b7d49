// Chromium, as the tests and benchmarks here use it.

import { chromium } from 'playwright-core';

/** `CHROMIUM` is its path. */
export function launch({ args = [], ...options } = {}) {
  return chromium.launch({
    executablePath: process.env['CHROMIUM'] ?? '/usr/bin/chromium',
    // Without a sandbox, because CI runs as root, where Chromium's sandbox can't start.
    args: ['--no-sandbox', ...args],
    // Playwright turns the back/forward cache off; real users have it.
    ignoreDefaultArgs: ['--disable-back-forward-cache'],
    ...options,
  });
}
