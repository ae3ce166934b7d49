// Builds the package's JavaScript from src/ and the module in dist/wasm: one file for each entry.

import { copyFile, readFile, rm, writeFile } from 'node:fs/promises';
import { build } from 'esbuild';

import { moduleWithGlue } from './glue.mjs';

const MODULE = 'dist/wasm/wirehub_bg.wasm';

/** The entries of the client itself: each has the module in its own way. */
const ENTRIES = {
  // For browsers and their bundlers; the module is next to it.
  index: { source: 'web' },
  // For Node.js, which reads the module from the disk.
  node: { source: 'node', external: ['node:*'] },
  // The module is in the file itself, for environments where a second file is hard to load.
  inline: { source: 'inline', module: `./${MODULE}`, loader: { '.wasm': 'base64' } },
  // For Cloudflare Workers and the like, which compile no module at run time: it comes compiled, by an import.
  workerd: { source: 'workerd', external: ['*.wasm'] },
};

const { version } = JSON.parse(await readFile('package.json', 'utf8'));
const { module, glue, build: ofModule } = await moduleWithGlue(MODULE, version);
await writeFile(MODULE, module);

/** The options that every entry has. */
const COMMON = {
  define: { VERSION: JSON.stringify(version), BUILD: JSON.stringify(ofModule) },
  banner: { js: `/*! @wirehub/client ${version}, MIT OR Apache-2.0 */` },
  // With the sources in it, which are not in the package.
  sourcemap: true,
  bundle: true,
  minify: true,
  format: 'esm',
  platform: 'neutral',
  target: 'es2022',
};

const GLUE_PLUGIN = {
  name: 'glue',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^\.\/glue\.js$/ }, () => ({ path: 'glue', namespace: 'glue' }));
    onLoad({ filter: /.*/, namespace: 'glue' }, () => ({ contents: glue }));
  },
};

for (const file of ['LICENSE-MIT', 'LICENSE-APACHE']) await copyFile(`../../${file}`, file);
for (const [name, { source, module: inFile, ...options }] of Object.entries(ENTRIES)) {
  await build({
    ...COMMON,
    entryPoints: ['src/index.ts'],
    outfile: `dist/${name}.js`,
    plugins: [GLUE_PLUGIN],
    alias: { '#source': `./src/source/${source}.ts`, ...(inFile && { '#base64': inFile }) },
    ...options,
  });
}
// The hooks for React. The client comes from the package's main entry, so that there is one class of it.
await build({
  ...COMMON,
  entryPoints: ['src/react/index.ts'],
  outfile: 'dist/react.js',
  external: ['react', '@wirehub/client'],
});
// Only the types of the entries belong to the package.
await rm('dist/source', { recursive: true, force: true });
