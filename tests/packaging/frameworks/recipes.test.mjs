// The recipes of the guides for Vue and Svelte, built by Vite, and used by two people in Chromium against the demo server.

import { test } from 'node:test';
import { svelte } from '@sveltejs/vite-plugin-svelte';
import vue from '@vitejs/plugin-vue';
import { preview, build } from 'vite';

import { blockOf, html, SERVER } from '../project.mjs';
import { heard, inTwoPages } from '../pages.mjs';
import { project } from './place.mjs';

const RECIPES = {
  vue: {
    file: 'App.vue',
    plugin: vue(),
    main: (props) => `import { createApp } from 'vue'; import App from './App.vue'; createApp(App, ${props}).mount('#app');`,
  },
  svelte: {
    file: 'App.svelte',
    plugin: svelte({ configFile: false }),
    main: (props) => `import { mount } from 'svelte'; import App from './App.svelte'; mount(App, { target: document.querySelector('#app'), props: ${props} });`,
  },
};

for (const [name, { file, plugin, main }] of Object.entries(RECIPES)) {
  test(`the recipe for ${name}`, async () => {
    const root = await project(name, {
      'index.html': html('/main.js').replace('<body>', '<body><div id="app"></div>'),
      [file]: await blockOf(`${name}.md`, `${name} ${file}`),
      'main.js': main(JSON.stringify({ url: SERVER, nick: 'ann' })),
    });
    const config = { root, configFile: false, logLevel: 'warn', plugins: [plugin] };
    await build(config);
    const server = await preview({ ...config, preview: { host: '127.0.0.1', port: 0 } });
    try {
      await inTwoPages(server.resolvedUrls.local[0], async (ann, ben) => {
        // In a room of this test alone.
        for (const page of [ann, ben]) await page.getByLabel('Room').fill(`recipe-${name}`);
        await heard(ann, ben);
      });
    } finally {
      await server.close();
    }
  });
}
