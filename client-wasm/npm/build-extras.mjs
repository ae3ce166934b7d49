// The parts of the build besides the entries of the client itself: version, licences, source maps, the entry for React.

import { copyFile, readFile } from 'node:fs/promises';
import { build } from 'esbuild';

const { version } = JSON.parse(await readFile('package.json', 'utf8'));

/** The options that every entry has. */
export const COMMON = {
  define: { VERSION: JSON.stringify(version) },
  banner: { js: `/*! @wirehub/client ${version}, MIT OR Apache-2.0 */` },
  // With the sources in it, which are not in the package.
  sourcemap: true,
  bundle: true,
  minify: true,
  format: 'esm',
  platform: 'neutral',
  target: 'es2022',
};

/** Before the entries are built: the licences come along. */
export async function prepare() {
  for (const file of ['LICENSE-MIT', 'LICENSE-APACHE']) await copyFile(`../../${file}`, file);
}

/** The hooks for React. The client comes from the package's main entry, so that there is one class of it. */
export async function buildReact() {
  await build({
    ...COMMON,
    entryPoints: ['src/react/index.ts'],
    outfile: 'dist/react.js',
    external: ['react', '@wirehub/client'],
  });
}
