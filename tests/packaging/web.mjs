// Pages in Chromium, from a server of static files.

import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { chromium } from 'playwright-core';

import { SERVER } from './project.mjs';

const TYPES = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.mjs': 'text/javascript; charset=utf-8',
  '.wasm': 'application/wasm',
};

/** The reports of a page, and the address of the demo server. */
export const IN_PAGE = { report: "((report) => console.log('report', JSON.stringify(report)))", server: "new URLSearchParams(location.search).get('server')" };

/**
 * Serves a folder, and returns the report of its page; `types` are additional content types, `headers` go with each
 * answer.
 */
export async function reportOf(folder, options) {
  const { server, url } = await serve(folder, options);
  try {
    return await visit(url);
  } finally {
    server.close();
  }
}

async function serve(folder, { types = {}, headers = {} } = {}) {
  const server = createServer(async (request, response) => {
    const { pathname } = new URL(request.url, 'http://localhost');
    const path = join(folder, normalize(pathname === '/' ? '/index.html' : pathname));
    const found = await stat(path).catch(() => undefined);
    if (found === undefined || !found.isFile()) return response.writeHead(404).end();
    const type = { ...TYPES, ...types }[extname(path)] ?? 'application/octet-stream';
    response.writeHead(200, { 'content-type': type, ...headers });
    createReadStream(path).pipe(response);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { server, url: `http://127.0.0.1:${server.address().port}/` };
}

/** Opens the page, and returns its report. */
export async function visit(url) {
  const browser = await chromium.launch({
    executablePath: process.env['CHROMIUM'] ?? '/usr/bin/chromium',
    // Without a sandbox, because CI runs as root, where Chromium's sandbox can't start.
    args: ['--no-sandbox'],
  });
  try {
    const page = await browser.newPage();
    const said = [];
    page.on('pageerror', (error) => said.push(String(error)));
    const reported = new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`the page reported nothing; its console: ${said.join('\n')}`)), 30_000);
      // Over the console, which no policy forbids.
      page.on('console', (message) => {
        const [, report] = /^report (.*)/.exec(message.text()) ?? [];
        if (report === undefined) return said.push(message.text());
        clearTimeout(late);
        resolve(JSON.parse(report));
      });
    });
    const address = new URL(url);
    address.searchParams.set('server', SERVER);
    await page.goto(address.href);
    return await reported;
  } finally {
    await browser.close();
  }
}
