// The server itself, as a program that the tests stop and start, and what stands around it in the real world: a backend
// that publishes, and a site that has the page and gives out tokens.
//
//   WIREHUB  the program (default: the one in target/)

import { execFileSync, spawn } from 'node:child_process';
import { createHmac, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import * as http from 'node:http';
import * as https from 'node:https';
import { tmpdir } from 'node:os';
import { extname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const API_KEY = 'fedcba9876543210fedcba9876543210';
const TOKEN_KEY = '0123456789abcdef0123456789abcdef';

const TLS = `
[tls]
certificate = "cert.pem"
key = "key.pem"
`;

const CONFIG = `
[server]
metrics = true
allow_origins = ["http://127.0.0.1:*"]
[limits]
reconnect_window = "100ms"
[[api.keys]]
file = "api.key"
[tokens]
leeway = "0s"
grace = "1s"
[[tokens.keys]]
algorithm = "HS256"
file = "token.key"
[namespace.chat]
history_size = 10000
history_ttl = "1h"
`;

const BUILT = ['demo', 'release', 'debug'].map((profile) => fileURLToPath(new URL(`../../../../target/${profile}/wirehub`, import.meta.url)));

export class Server {
  #folder;
  #address = '127.0.0.1:0';
  #process;
  /** The certificate, where it speaks TLS. */
  #certificate;

  static async start({ tls = false } = {}) {
    const server = new Server();
    server.#folder = await mkdtemp(join(tmpdir(), 'wirehub-'));
    const config = server.path('wirehub.toml');
    // As an operator begins: the template is right as it is.
    server.run(['config', 'init', config]);
    server.run(['config', 'check', config]);
    const files = { 'wirehub.toml': tls ? CONFIG + TLS : CONFIG, 'api.key': API_KEY, 'token.key': TOKEN_KEY };
    for (const [name, text] of Object.entries(files)) await writeFile(server.path(name), text);
    if (tls) {
      const names = 'subjectAltName=DNS:localhost,IP:127.0.0.1';
      const files = ['-keyout', server.path('key.pem'), '-out', server.path('cert.pem')];
      execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=localhost', '-addext', names, '-addext', 'basicConstraints=critical,CA:FALSE', ...files], { stdio: 'ignore' });
      server.#certificate = await readFile(server.path('cert.pem'));
    }
    server.run(['config', 'check', config]);
    await server.#run();
    return server;
  }

  get url() {
    return `${this.#certificate === undefined ? 'ws' : 'wss'}://${this.#address}/ws`;
  }

  /** A file of its folder. */
  path(name) {
    return join(this.#folder, name);
  }

  /** Runs the program to its end; gives what it writes. */
  run(args) {
    return execFileSync(program(), args, { encoding: 'utf8' });
  }

  /** Somebody at a terminal: the program as a client. */
  terminal(args) {
    return spawn(program(), args, { stdio: ['ignore', 'pipe', 'ignore'] });
  }

  /** Asks over HTTP, with the API's key; gives status and text. */
  async ask(method, path, body = '') {
    const [scheme, client] = this.#certificate === undefined ? ['http', http] : ['https', https];
    const headers = { authorization: `Bearer ${API_KEY}`, 'content-type': 'application/json' };
    const request = client.request(`${scheme}://${this.#address}${path}`, { method, headers, ca: this.#certificate, agent: false });
    request.end(body);
    const [response] = await once(request, 'response');
    let text = '';
    for await (const part of response.setEncoding('utf8')) text += part;
    return { status: response.statusCode, text };
  }

  /** What a deploy does: stops it in order, and starts it at the same address. What it kept is gone. */
  async restart() {
    await this.#end('SIGTERM');
    await this.#run();
  }

  async stop() {
    await this.#end('SIGKILL');
    await rm(this.#folder, { recursive: true });
  }

  /** Publishes, again and again until the server says that it has, always with the same key. */
  async publish(channel, data) {
    const body = JSON.stringify({ channel, data, key: randomUUID() });
    for (;;) {
      try {
        const { status } = await this.ask('POST', '/api/v1/publish', body);
        if (status === 200) return;
        if (status !== 503) throw new Error(`the server refuses a publication with ${status}`);
      } catch (error) {
        // It is not there just now.
        if (error.code === undefined) throw error;
      }
    }
  }

  async #run() {
    const config = this.path('wirehub.toml');
    this.#process = spawn(program(), ['serve', '--config', config, '--listen', this.#address], { stdio: ['ignore', 'pipe', 'inherit'] });
    const lines = createInterface({ input: this.#process.stdout });
    const [line] = await once(lines, 'line', { signal: AbortSignal.timeout(20_000) });
    this.#address = /^listening on https?:\/\/(\S+)/.exec(line)[1];
    this.#process.stdout.resume();
  }

  async #end(signal) {
    const ended = once(this.#process, 'exit');
    this.#process.kill(signal);
    await ended;
  }
}

/** A backend that publishes 0, 1, 2 … in a channel until it is told to stop. */
export class Publisher {
  published = 0;
  #stopped = false;
  #running;

  constructor(server, channel) {
    this.#running = this.#run(server, channel);
  }

  /** Gives how many it has published. */
  async stop() {
    this.#stopped = true;
    await this.#running;
    return this.published;
  }

  async #run(server, channel) {
    while (!this.#stopped) {
      await server.publish(channel, this.published);
      this.published += 1;
      // A day's messages, not a storm's.
      await pause(5);
    }
  }
}

/** A token that is good for so many seconds; for a negative number it has expired so long ago. */
export function token(seconds) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const signed = `${part({ alg: 'HS256', typ: 'JWT' })}.${part({ sub: 'ann', exp: Math.floor(Date.now() / 1000) + seconds, jti: randomUUID() })}`;
  return `${signed}.${createHmac('sha256', TOKEN_KEY).update(signed).digest('base64url')}`;
}

/** Where the page comes from: `/dist/` is the package, `/token` gives what `tokens` gives, everything else is an empty page. */
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

function program() {
  const found = process.env['WIREHUB'] ?? BUILT.find((path) => existsSync(path));
  if (found === undefined) throw new Error('no server found: run `cargo build -p wirehub-server`, or name the program in WIREHUB');
  return found;
}
