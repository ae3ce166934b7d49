// A document that is followed word for word in an empty folder. The words behind a block's fence say what becomes of it, as in
// server/cli/tests/program/guides.rs:
//
//   sh before      has been done before
//   sh, sh npm     is run, and has to succeed
//   sh server      goes on running until the end, and says where it listens
//   LANGUAGE FILE  is written to that file
//   text           is a picture

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { delimiter, dirname, join } from 'node:path';

import { freePort } from './ports.mjs';
import { Program } from './program.mjs';

export class Document {
  #servers = [];
  /** The free port in place of each port in the document. */
  #ports = new Map();
  #folder;
  #environment;
  #repository;

  /**
   * Follows `file` in `folder`; `programs` are folders to find programs in, `ports` those that servers listen at, `environment`
   * further variables. A `repository` takes the place of the folder `wirehub` beside `folder`.
   */
  static async follow(file, folder, { programs, ports, environment = process.env, repository }) {
    const document = new Document();
    document.#folder = folder;
    document.#environment = { ...environment, PATH: [...programs, process.env['PATH']].join(delimiter) };
    document.#repository = repository;
    for (const port of ports) document.#ports.set(port, String(await freePort()));
    try {
      for (const block of blocksOf(await readFile(file, 'utf8'))) await document.#follow(block);
    } catch (error) {
      await document.end();
      throw error;
    }
    return document;
  }

  /** The same text with the ports of this run. */
  here(text) {
    return text.replaceAll(/\b\d{4}\b/g, (word) => this.#ports.get(word) ?? word);
  }

  /** Ends what the document has started. */
  async end() {
    for (const server of this.#servers.splice(0)) await server.end('SIGKILL');
  }

  async #follow({ line, words, text }) {
    const ported = this.here(text);
    const script = this.#repository === undefined ? ported : ported.replaceAll(/(\.\.\/)+wirehub\//g, this.#repository);
    const [language, file] = words;
    if ((language === 'sh' && file === 'before') || words.join(' ') === 'text') return;
    if (language === 'sh' && file === 'server') {
      const options = { cwd: this.#folder, env: this.#env() };
      this.#servers.push(await Program.start('sh', ['-e', '-c', `exec ${script}`], options));
    } else if (language === 'sh' && (file === undefined || file === 'npm')) {
      await this.#run(script, line);
    } else if (file !== undefined && words.length === 2) {
      await mkdir(dirname(join(this.#folder, file)), { recursive: true });
      await writeFile(join(this.#folder, file), script);
    } else {
      throw new Error(`line ${line}: what is to become of this block? See the beginning of tests/support/document.mjs`);
    }
  }

  async #run(script, line) {
    const shell = spawn('sh', ['-e', '-c', script], { cwd: this.#folder, env: this.#env(), stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    for (const stream of [shell.stdout, shell.stderr]) stream.setEncoding('utf8').on('data', (text) => (output += text));
    const [status] = await once(shell, 'close');
    if (status !== 0) throw new Error(`line ${line}: status ${status}\n${output}`);
  }

  #env() {
    // Downloads of earlier runs are reused.
    return { ...this.#environment, npm_config_prefer_offline: 'true', npm_config_fund: 'false', npm_config_audit: 'false' };
  }
}

/** The fenced blocks, each with its line and the words behind its fence. */
function blocksOf(document) {
  const blocks = [];
  for (const match of document.matchAll(/^```([^\n]+)\n(.*?)^```$/gms)) {
    const [, words, text] = match;
    blocks.push({ line: document.slice(0, match.index).split('\n').length, words: words.split(' '), text });
  }
  return blocks;
}
