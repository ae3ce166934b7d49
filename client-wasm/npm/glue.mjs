// The module and its glue code, from what wasm-bindgen makes in dist/wasm.

import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { build } from 'esbuild';

import { withShortNames } from './names.mjs';

/**
 * Returns the module and its glue code, with short names between them, and the name of this build. It is in the module too:
 * a script works with the module of the same build only, because the names of its imports differ between builds.
 */
export async function moduleWithGlue(path, version) {
  const { module, glue } = withShortNames(await readFile(path), await glueFunction());
  const build = `${version}+${createHash('sha256').update(glue).digest('hex').slice(0, 8)}`;
  return { module: withSection(module, 'wirehub', build), glue, build };
}

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
  if (!exported) throw new Error('the glue code of wasm-bindgen has another form than this build expects: adapt glue.mjs');
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
