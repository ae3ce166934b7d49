// `wirehub serve` with a configuration of the test's own, in a folder of its own.
//
//   WIREHUB  the program (default: the one in target/)

import { execFileSync, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import * as http from 'node:http';
import * as https from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { built, Program } from './program.mjs';

/** The key of the HTTP API, and that by which tokens are signed (HS256). */
export const API_KEY = 'fedcba9876543210fedcba9876543210';
export const TOKEN_KEY = '0123456789abcdef0123456789abcdef';

const KEYS = `
[[api.keys]]
file = "api.key"
[[tokens.keys]]
algorithm = "HS256"
file = "token.key"
`;

const TLS = `
[tls]
certificate = "cert.pem"
key = "key.pem"
`;

export class Server {
  /** `127.0.0.1:PORT`, the same after a restart. */
  host = '127.0.0.1:0';
  #folder;
  #program;
  /** The certificate, where it speaks TLS. */
  #certificate;

  /** `config` is what the file says beside the keys and `[tls]`. */
  static async start(config, { tls = false } = {}) {
    const server = new Server();
    server.#folder = await mkdtemp(join(tmpdir(), 'wirehub-'));
    try {
      const files = { 'wirehub.toml': config + KEYS + (tls ? TLS : ''), 'api.key': API_KEY, 'token.key': TOKEN_KEY };
      for (const [name, text] of Object.entries(files)) await writeFile(server.path(name), text);
      if (tls) await server.#certify();
      server.run(['config', 'check', server.path('wirehub.toml')]);
      await server.begin();
    } catch (error) {
      await server.stop();
      throw error;
    }
    return server;
  }

  get url() {
    return `${this.#certificate === undefined ? 'ws' : 'wss'}://${this.host}/ws`;
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

  /** A token for a user, as an operator makes it. */
  token(user) {
    return this.run(['token', '--config', this.path('wirehub.toml'), '--user', user]).trim();
  }

  /** Asks over HTTP, with the API's key; gives status and text. */
  async ask(method, path, body = '') {
    const [scheme, client] = this.#certificate === undefined ? ['http', http] : ['https', https];
    const headers = { authorization: `Bearer ${API_KEY}`, 'content-type': 'application/json' };
    const request = client.request(`${scheme}://${this.host}${path}`, { method, headers, ca: this.#certificate, agent: false });
    request.end(body);
    const [response] = await once(request, 'response');
    let text = '';
    for await (const part of response.setEncoding('utf8')) text += part;
    return { status: response.statusCode, text };
  }

  /** Asks the HTTP API for something that it does; gives what it answers. */
  async api(method, path, body) {
    const { status, text } = await this.ask(method, `/api/v1${path}`, body === undefined ? '' : JSON.stringify(body));
    if (status < 200 || status > 299) throw new Error(`${method} ${path} is answered by ${status}: ${text}`);
    return text === '' ? undefined : JSON.parse(text);
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

  /** Starts it, where it was before. */
  async begin() {
    this.#program = await Program.start(program(), ['serve', '--config', this.path('wirehub.toml'), '--listen', this.host]);
    this.host = new URL(this.#program.origin).host;
  }

  /** What a deploy does: stops it in order, and starts it at the same address. What it kept is gone. */
  async restart() {
    await this.#program.end('SIGTERM');
    await this.begin();
  }

  /** Ends it at once, as a crash would. */
  async kill() {
    await this.#program?.end('SIGKILL');
  }

  async stop() {
    await this.kill();
    await rm(this.#folder, { recursive: true });
  }

  async #certify() {
    const names = 'subjectAltName=DNS:localhost,IP:127.0.0.1';
    const files = ['-keyout', this.path('key.pem'), '-out', this.path('cert.pem')];
    execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=localhost', '-addext', names, '-addext', 'basicConstraints=critical,CA:FALSE', ...files], { stdio: 'ignore' });
    this.#certificate = await readFile(this.path('cert.pem'));
  }
}

const program = () => built('wirehub', 'WIREHUB');
