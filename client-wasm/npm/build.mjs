// Builds the package's JavaScript from src/ and the module in dist/wasm: one file for each entry.

import { readFile, rm } from 'node:fs/promises';
import { build } from 'esbuild';

const ENTRIES = {
  // For browsers and their bundlers; the module is next to it.
  index: { source: 'web' },
  // For Node.js, which reads the module from the disk.
  node: { source: 'node', external: ['node:*'] },
  // The module is in the file itself, for environments where a second file is hard to load.
  inline: { source: 'inline', module: './dist/wasm/wirehub_bg.wasm', loader: { '.wasm': 'base64' } },
};

/**
 * The internal names of this package's own files, which are shortened. The platform has some of these names too, but
 * not on the objects that this package uses. A check below makes sure that none of them is public.
 */
const INTERNAL = new RegExp(
  `^(on[A-Z]\\w*|${[
    ...['abandon', 'answer', 'any', 'ask', 'begin', 'causeOf', 'count', 'due', 'each', 'end', 'enter', 'fail', 'failure', 'flag'],
    ...['giveUp', 'item', 'iterate', 'listen', 'live', 'number', 'numbered', 'providesTokens', 'publishVolatile'],
    ...['receive', 'rows', 'run', 'start', 'stop', 'timer'],
  ].join('|')})$`,
);

const shortened = new Set();
for (const [name, { source, module, ...options }] of Object.entries(ENTRIES)) {
  const { mangleCache } = await build({
    entryPoints: ['src/index.ts'],
    outfile: `dist/${name}.js`,
    bundle: true,
    minify: true,
    mangleProps: INTERNAL,
    mangleCache: {},
    format: 'esm',
    platform: 'neutral',
    target: 'es2022',
    alias: { '#source': `./src/source/${source}.ts`, ...(module && { '#base64': module }) },
    ...options,
  });
  for (const property of Object.keys(mangleCache)) shortened.add(property);
}
// Only the types of the entries belong to the package.
await rm('dist/source', { recursive: true, force: true });

const { files } = JSON.parse(await readFile('package.json', 'utf8'));
for (const file of files.filter((file) => file.endsWith('.d.ts'))) {
  for (const [, property] of (await readFile(file, 'utf8')).matchAll(/^\s+(?:readonly |get |set )?(\w+)\??[:(<]/gm)) {
    if (shortened.has(property)) throw new Error(`${file}: ${property} is public: remove it from the list of internal names in build.mjs`);
  }
}
