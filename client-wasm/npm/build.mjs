// Builds the package's JavaScript from src/ and the module in dist/wasm: one file for each entry.

import { createHash } from 'node:crypto';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { build } from 'esbuild';

import { buildReact, COMMON, prepare } from './build-extras.mjs';
import { withShortNames } from './names.mjs';

const MODULE = 'dist/wasm/wirehub_bg.wasm';

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
const { module, glue } = withShortNames(await readFile(MODULE), await glueFunction());
// A script works with the module of the same build only: the names of its imports differ between builds.
const BUILD = `${version}+${createHash('sha256').update(glue).digest('hex').slice(0, 8)}`;
await writeFile(MODULE, withSection(module, 'wirehub', BUILD));

/**
 * The glue code that wasm-bindgen makes, as a function. As it is, it knows one instance of the module in a page; a call of
 * the function makes another one.
 */
async function glueFunction() {
  const own = 'export { __wbg_get_imports as imports, __wbg_finalize_init as finish };';
  const contents = "export { Client, Socket, imports, finish } from './dist/wasm/wirehub.js';";
  const { outputFiles } = await build({
    stdin: { contents, resolveDir: '.' },
    bundle: true,
    format: 'esm',
    write: false,
    // Drops the loader, which the package has a smaller one for.
    treeShaking: true,
    plugins: [
      {
        name: 'glue',
        setup: ({ onLoad }) => onLoad({ filter: /wirehub\.js$/ }, async ({ path }) => ({ contents: `${await readFile(path, 'utf8')}\n${own}` })),
      },
    ],
  });
  const [, body, exported] = /^(.*)export \{(.*)\};\s*$/s.exec(outputFiles[0].text) ?? [];
  if (!exported) throw new Error('the glue code of wasm-bindgen has another form than this build expects: adapt build.mjs');
  const names = exported.replaceAll(/(\w+) as (\w+)/g, '$2: $1');
  return `export default function () {\n${body}\nreturn {${names}};\n}`;
}

/** The module with a custom section (WebAssembly Core Specification 2.0, section 5.5.3). */
function withSection(module, name, text) {
  const contents = Buffer.concat([Buffer.from([name.length]), Buffer.from(name), Buffer.from(text)]);
  // Sizes below 128 are one byte.
  if (contents.length > 127) throw new Error('the section is too long');
  return Buffer.concat([module, Buffer.from([0, contents.length]), contents]);
}

const GLUE_PLUGIN = {
  name: 'glue',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^\.\/glue\.js$/ }, () => ({ path: 'glue', namespace: 'glue' }));
    onLoad({ filter: /.*/, namespace: 'glue' }, () => ({ contents: glue }));
  },
};

await prepare();
for (const [name, { source, module, ...options }] of Object.entries(ENTRIES)) {
  await build({
    ...COMMON,
    entryPoints: ['src/index.ts'],
    outfile: `dist/${name}.js`,
    define: { ...COMMON.define, BUILD: JSON.stringify(BUILD) },
    plugins: [GLUE_PLUGIN],
    alias: { '#source': `./src/source/${source}.ts`, ...(module && { '#base64': module }) },
    ...options,
  });
}
await buildReact();
// Only the types of the entries belong to the package.
await rm('dist/source', { recursive: true, force: true });
