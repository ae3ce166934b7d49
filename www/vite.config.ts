import { defineConfig } from 'vite';

/** The demo's server, for `vite dev`: the page asks its own origin for tokens. */
const server = process.env['WIREHUB_DEMO'] ?? 'http://127.0.0.1:8080';

export default defineConfig({
  // Relative addresses, so that the page works under any path of a server.
  base: './',
  build: {
    target: 'es2023',
    // The page's content security policy allows files of its own origin only, so nothing may become a data: URL.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  // The package finds its wasm next to its own module. Bundled ahead of time for `vite dev`, it would look in the wrong
  // place.
  optimizeDeps: { exclude: ['@wirehub/client'] },
  server: {
    // The lab reads the description of the wire from `common`.
    fs: { allow: ['..'] },
    proxy: {
      '/demo': server,
      '/ws': { target: server, ws: true, rewriteWsOrigin: true },
      '/echo': { target: server, ws: true, rewriteWsOrigin: true },
    },
  },
});
