import { defineConfig } from 'vite';

export default defineConfig({
  // Relative addresses: the page works under any path that a server mounts it at.
  base: './',
  build: {
    target: 'es2023',
    // The page's content security policy allows files of its own origin only, so nothing may become a data: URL.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  // The package finds its wasm beside its own module; bundled ahead of time for `vite dev` it would look in the wrong place.
  optimizeDeps: { exclude: ['@wirehub/client'] },
});
