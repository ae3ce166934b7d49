// The parts of the build besides the entries of the client itself: versions, licences, source maps, the entry for React.

import { copyFile, readFile, writeFile } from 'node:fs/promises';
import { build } from 'esbuild';

const MODULE = 'dist/wasm/wirehub_bg.wasm';
/** The custom section of the module with its version and build. */
const SECTION = 'wirehub.version';

const { version } = JSON.parse(await readFile('package.json', 'utf8'));

/** The options that each entry of the client has. */
export const COMMON = {
  define: { VERSION: JSON.stringify(version) },
  banner: { js: `/*! @wirehub/client ${version}, MIT OR Apache-2.0 */` },
  // With the sources in it, which are not in the package.
  sourcemap: true,
};

/** Before the entries are built: the module says its build (Core Specification 2.0, section 5.5.3), and the licences come along. */
export async function prepare(build) {
  for (const file of ['LICENSE-MIT', 'LICENSE-APACHE']) await copyFile(`../../${file}`, file);
  const bytes = await readFile(MODULE);
  if (WebAssembly.Module.customSections(await WebAssembly.compile(bytes), SECTION).length > 0) return;
  const content = Buffer.concat([Buffer.of(SECTION.length), Buffer.from(SECTION + build)]);
  // A length below 128 is one byte.
  if (content.length > 127) throw new Error(`the version ${version} is too long`);
  await writeFile(MODULE, Buffer.concat([bytes, Buffer.of(0, content.length), content]));
}

/** The hooks for React. The client comes from the package's main entry, so that there is one class of it. */
export async function buildReact() {
  await build({
    ...COMMON,
    entryPoints: ['src/react/index.ts'],
    outfile: 'dist/react.js',
    bundle: true,
    minify: true,
    format: 'esm',
    platform: 'neutral',
    target: 'es2022',
    external: ['react', '@wirehub/client'],
  });
}
