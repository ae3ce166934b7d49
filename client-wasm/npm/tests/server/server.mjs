// The server itself and its surroundings: a backend that publishes, and a site that serves the page and the tokens.

import { createHmac, randomUUID } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import { readFile } from 'node:fs/promises';
import * as http from 'node:http';
import * as net from 'node:net';
import { extname } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

import { Server, TOKEN_KEY } from '../../../../tests/support/server.mjs';

const CONFIG = `
[server]
metrics = true
allow_origins = ["http://127.0.0.1:*"]
[limits]
reconnect_window = "100ms"
[tokens]
leeway = "0s"
grace = "1s"
[namespace.chat]
history_size = 10000
history_ttl = "1h"
`;

/** `config` is the rest of its configuration. */
export const start = ({ config = '', ...options } = {}) => Server.start(CONFIG + config, options);

/** A backend that publishes 0, 1, 2 … in a channel until it is stopped. */
export class Publisher {
  published = 0;
  #stopped = false;
  #running;

  constructor(server, channel) {
    this.#running = this.#run(server, channel);
  }

  /** Returns how many it has published. */
  async stop() {
    this.#stopped = true;
    await this.#running;
    return this.published;
  }

  async #run(server, channel) {
    while (!this.#stopped) {
      await server.publish(channel, this.published);
      this.published += 1;
      // The rate of an ordinary day, not of a storm.
      await pause(5);
    }
  }
}

/**
 * A token that is valid for `seconds` seconds; a negative number is the time since its expiry. `wirehub` are the claims
 * for the server alone.
 */
export function token(seconds, user = 'ann', wirehub = {}) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const claims = { sub: user, exp: Math.floor(Date.now() / 1000) + seconds, jti: randomUUID(), wirehub };
  const signed = `${part({ alg: 'HS256', typ: 'JWT' })}.${part(claims)}`;
  return `${signed}.${createHmac('sha256', TOKEN_KEY).update(signed).digest('base64url')}`;
}

/** The link between pages and the server, which fails on request. */
export class Link {
  #server;
  #http = net.createServer((page) => this.#join(page));
  #pages = new Map();

  static async start(server) {
    const link = new Link();
    link.#server = server;
    link.#http.listen(0, '127.0.0.1');
    await once(link.#http, 'listening');
    return link;
  }

  get url() {
    return `ws://127.0.0.1:${this.#http.address().port}/ws`;
  }

  /**
   * Drops everything from the server from now on, up to the next {@link cut}. Returns a function that waits until
   * something has been dropped.
   */
  mute() {
    const lost = Promise.race([...this.#pages].map(([page, server]) => once(server.unpipe(page).resume(), 'data')));
    return () => lost;
  }

  /** Breaks the open connections. */
  cut() {
    for (const page of this.#pages.keys()) page.destroy();
  }

  async stop() {
    this.cut();
    this.#http.close();
    await once(this.#http, 'close');
  }

  #join(page) {
    const { hostname: host, port } = new URL(this.#server.url);
    const server = net.connect({ host, port });
    this.#pages.set(page, server);
    page.pipe(server);
    server.pipe(page);
    // An error at one end ends the other.
    for (const [socket, other] of [[page, server], [server, page]]) {
      socket.on('error', () => undefined);
      socket.on('close', () => {
        this.#pages.delete(page);
        other.destroy();
      });
    }
  }
}

/** A backend that answers calls with the number of calls so far. */
export class Backend {
  /** The number of calls received. */
  calls = 0;
  #http = http.createServer((request, response) => void this.#answer(request, response));
  #news = new EventEmitter();
  #mayAnswer = Promise.resolve();

  static async start() {
    const backend = new Backend();
    backend.#http.listen(0, '127.0.0.1');
    await once(backend.#http, 'listening');
    return backend;
  }

  get url() {
    return `http://127.0.0.1:${this.#http.address().port}/`;
  }

  /** Waits for the next call. */
  async next() {
    await once(this.#news, 'call');
  }

  /** Holds back every answer until the returned function is called. */
  hold() {
    let release;
    this.#mayAnswer = new Promise((resolve) => {
      release = resolve;
    });
    return release;
  }

  async stop() {
    this.#http.closeAllConnections();
    this.#http.close();
    await once(this.#http, 'close');
  }

  async #answer(request, response) {
    await request.resume().toArray();
    this.calls += 1;
    const data = this.calls;
    this.#news.emit('call');
    await this.#mayAnswer;
    response.end(JSON.stringify({ data }));
  }
}

/**
 * The page's site: `/dist/` is the package, `/token` returns the result of `tokens`, every other path is an empty page.
 */
export class Site {
  origin;
  #http;

  static async start(tokens) {
    const site = new Site();
    site.#http = http.createServer((request, response) => void answer(request.url, response, tokens));
    site.#http.listen(0, '127.0.0.1');
    await once(site.#http, 'listening');
    site.origin = `http://127.0.0.1:${site.#http.address().port}`;
    return site;
  }

  async stop() {
    this.#http.closeAllConnections();
    this.#http.close();
    await once(this.#http, 'close');
  }
}

const DIST = new URL('../../dist/', import.meta.url);
const TYPES = { '.js': 'text/javascript', '.wasm': 'application/wasm' };

async function answer(path, response, tokens) {
  if (path === '/token') return void response.end(tokens());
  if (!path.startsWith('/dist/')) return void response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><title>test</title>');
  const content = await readFile(new URL(path.slice('/dist/'.length), DIST)).catch(() => undefined);
  response.writeHead(content === undefined ? 404 : 200, { 'content-type': TYPES[extname(path)] ?? 'text/plain' }).end(content);
}
