// Every example in the READMEs and in docs/ matches the package's types. (The other examples in docs/ are run by
// server/cli/tests/program/guides.rs.)

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);

const root = fileURLToPath(new URL('../../../', import.meta.url));
const tsc = fileURLToPath(new URL('../node_modules/typescript/bin/tsc', import.meta.url));
const dist = join(root, 'client-wasm/npm/dist/index.d.ts');

const react = fileURLToPath(new URL('../node_modules/@types/react/', import.meta.url));

/** Variables that the examples assume. Their own declarations go before these. */
const GLOBALS = `
import type { Client as AnyClient, Codes as AllCodes } from '@wirehub/client';
declare global {
  const client: AnyClient<any>;
  const Codes: typeof AllCodes;
  const signal: AbortSignal;
  function show(what: unknown): void;
  function showUntilSeen(channel: string, alarm: unknown): Promise<void>;
  function hide(alarm: string): void;
  function fetchToken(): Promise<string>;
  function retryLater(): void;
}
`;

/** The declaration that users of a bundler write. */
const WASM = `declare module '@wirehub/client/wirehub.wasm' { const address: string; export default address; }`;

/** In the form printed by the generator. */
const CONTRACT = `
import type { ContractInfo } from '@wirehub/client';
export interface Line { nick: string; text: string }
export interface DemoContract {
  channels: { [key: \`chat:\${string}\`]: Line };
  calls: { 'math.add': { request: { terms: number[] }; response: number } };
}
export type ChatContract = DemoContract;
export declare const demo: ContractInfo<DemoContract>;
export declare const chat: ContractInfo<ChatContract>;
`;

/** JavaScript users have no contract: the data may be anything. */
const UNTYPED = `
import { Client as Typed, connect as typed } from ${JSON.stringify(dist)};
export * from ${JSON.stringify(dist)};
export class Client<C = any> extends Typed<any> {}
export declare function connect(...options: Parameters<typeof typed<any>>): Promise<Client>;
`;

const COMPILER = {
  target: 'es2022',
  module: 'esnext',
  jsx: 'react-jsx',
  moduleResolution: 'bundler',
  lib: ['es2022', 'esnext.disposable', 'dom', 'dom.asynciterable'],
  types: [],
  strict: true,
  noEmit: true,
  skipLibCheck: true,
};

const guides = (await readdir(join(root, 'docs'), { recursive: true })).filter((file) => file.endsWith('.md'));

for (const file of ['README.md', 'client-wasm/npm/README.md', ...guides.map((file) => `docs/${file}`)]) {
  const examples = examplesIn(await readFile(join(root, file), 'utf8'));
  if (examples.length === 0) continue;
  test(`the examples of ${file} compile`, async () => {
    assert.deepEqual(await problems(file, examples), []);
  });
}

test('there are examples in the READMEs and in the guides', async () => {
  for (const file of ['README.md', 'client-wasm/npm/README.md', 'docs/guides/tokens.md', 'docs/guides/react.md']) {
    assert.ok(examplesIn(await readFile(join(root, file), 'utf8')).length > 0, file);
  }
});

test('an example that does not compile is found', async () => {
  const text = ['```js', 'await client.subscrib("a");', '```', '```ts', "import { connect } from '@wirehub/client';", '(await connect("/ws")).publish(1, 2);', '```'];
  const found = await problems('wrong', examplesIn(text.join('\n')));
  assert.equal(found.length, 2, found.join('\n'));
  assert.match(found[0], /line-1\.ts.*'subscrib' does not exist/);
  assert.match(found[1], /line-4\.ts.*'number' is not assignable/);
});

/** The blocks of code, each with its language and the line at which it begins. */
function examplesIn(text) {
  const examples = [];
  for (const match of text.matchAll(/^```(tsx|ts|js)\n(.*?)^```$/gms)) {
    const [, language, code] = match;
    examples.push({ language, code, line: text.slice(0, match.index).split('\n').length });
  }
  return examples;
}

/** The compiler's messages, one line for each problem. */
async function problems(file, examples) {
  const folder = join(root, 'target/npm/examples', file.replaceAll(/\W/g, '-'));
  await rm(folder, { recursive: true, force: true });
  const found = [];
  for (const [language, entry, lenient] of [
    ['js', 'untyped.d.ts', { noImplicitAny: false, useUnknownInCatchVariables: false }],
    ['ts', relative(join(folder, 'ts'), dist), {}],
  ]) {
    const paths = {
      '@wirehub/client/react': [join(dirname(dist), 'react/index.d.ts')],
      '@wirehub/client': [entry.startsWith('.') ? entry : `./${entry}`],
      react: [join(react, 'index.d.ts')],
      'react/jsx-runtime': [join(react, 'jsx-runtime.d.ts')],
    };
    const files = {
      'tsconfig.json': JSON.stringify({ compilerOptions: { ...COMPILER, ...lenient, paths } }),
      'globals.d.ts': GLOBALS,
      'wasm.d.ts': WASM,
      'untyped.d.ts': UNTYPED,
      'contract.ts': CONTRACT,
      'generated/contract.ts': CONTRACT,
    };
    for (const example of examples.filter((it) => it.language.startsWith(language))) {
      // Each is a module of its own, whether it imports something or not.
      const ending = example.language === 'tsx' ? 'tsx' : 'ts';
      files[`line-${example.line}.${ending}`] = `${example.code}export {};\n`;
    }
    for (const [name, text] of Object.entries(files)) {
      await mkdir(dirname(join(folder, language, name)), { recursive: true });
      await writeFile(join(folder, language, name), text);
    }
    const { stdout } = await run(process.execPath, [tsc, '-p', '.', '--pretty', 'false'], { cwd: join(folder, language) }).catch((error) => error);
    found.push(...stdout.split('\n').filter((line) => line !== ''));
  }
  return found;
}
