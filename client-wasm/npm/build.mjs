// Makes the package's JavaScript from src/ and the module that stands in dist/wasm: one file for each entry.

import { rm } from 'node:fs/promises';
import { build } from 'esbuild';

const ENTRIES = {
  // For browsers and their bundlers; the module lies beside it.
  index: { source: 'web' },
  // For Node.js, which reads the module from the disk.
  node: { source: 'node', external: ['node:*'] },
  // The module is in the file itself: for places where a second file is hard to get to.
  inline: { source: 'inline', module: './dist/wasm/wirehub_bg.wasm', loader: { '.wasm': 'base64' } },
};

/** What only this package's own files call each other; the DOM has no name with a capital behind `on`. */
const INTERNAL = /^(on[A-Z]\w*|causeOf|giveUp|numbered|providesTokens|publishVolatile)$/;

for (const [name, { source, module, ...options }] of Object.entries(ENTRIES)) {
  await build({
    entryPoints: ['src/index.ts'],
    outfile: `dist/${name}.js`,
    bundle: true,
    minify: true,
    mangleProps: INTERNAL,
    format: 'esm',
    platform: 'neutral',
    target: 'es2022',
    alias: { '#source': `./src/source/${source}.ts`, ...(module && { '#base64': module }) },
    ...options,
  });
}
// Only the entries' own types are the package's.
await rm('dist/source', { recursive: true, force: true });
