// `wirehub serve` with a configuration and a folder of the test's own.
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

/** The key of the HTTP API, and the secret of the tokens (HS256). */
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
  /** The certificate, if it speaks TLS. */
  #certificate;

  /** `config` is the file besides the keys and `[tls]`. */
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

  /** A file in its folder. */
  path(name) {
    return join(this.#folder, name);
  }

  /** Runs the program to its end; returns its output. */
  run(args) {
    return execFileSync(program(), args, { encoding: 'utf8' });
  }

  /** A person at a terminal: the program as a client. */
  terminal(args) {
    return spawn(program(), args, { stdio: ['ignore', 'pipe', 'ignore'] });
  }

  /** A token for a user, made like an operator's. */
  token(user) {
    return this.run(['token', '--config', this.path('wirehub.toml'), '--user', user]).trim();
  }

  /** Sends an HTTP request with the API's key; returns status and text. */
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

  /** Calls the HTTP API with a request that must succeed; returns the answer. */
  async api(method, path, body) {
    const { status, text } = await this.ask(method, `/api/v1${path}`, body === undefined ? '' : JSON.stringify(body));
    if (status < 200 || status > 299) throw new Error(`${method} ${path} was answered with ${status}: ${text}`);
    return text === '' ? undefined : JSON.parse(text);
  }

  /** Publishes, again and again with the same key until the server confirms it. */
  async publish(channel, data) {
    const body = JSON.stringify({ channel, data, key: randomUUID() });
    for (;;) {
      try {
        const { status } = await this.ask('POST', '/api/v1/publish', body);
        if (status === 200) return;
        if (status !== 503) throw new Error(`the server refuses a publication with ${status}`);
      } catch (error) {
        // The server is down at the moment.
        if (error.code === undefined) throw error;
      }
    }
  }

  /** Starts it at its former address. */
  async begin() {
    this.#program = await Program.start(program(), ['serve', '--config', this.path('wirehub.toml'), '--listen', this.host]);
    this.host = new URL(this.#program.origin).host;
  }

  /** Deploys: stops it in order, and starts it at the same address. Its memory is lost. */
  async restart() {
    await this.#program.end('SIGTERM');
    await this.begin();
  }

  /** Ends it at once, like a crash. */
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
