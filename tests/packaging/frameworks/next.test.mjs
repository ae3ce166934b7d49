// The board of the guide for React in Next.js: its development server (Turbopack), and built and started. In Chromium.

import { join } from 'node:path';
import { test } from 'node:test';

import { blockOf, run } from '../project.mjs';
import { built, Program } from '../../support/program.mjs';
import { heard, inTwoPages } from '../pages.mjs';
import { freePort } from '../../support/ports.mjs';
import { HERE, program, project, running } from './place.mjs';

// The server's address is in the address of the page, as a server renders the page without it.
const PAGE = `import { Suspense } from 'react';
import { Page } from './page-of-board';

export default () => <Suspense><Page /></Suspense>;
`;
const BOARD = `'use client';
import { useSearchParams } from 'next/navigation';
import { App } from './board';

export const Page = () => <App url={useSearchParams().get('server') ?? '/ws'} />;
`;

async function board(name) {
  return project(name, {
    'app/layout.tsx': 'export default function Layout({ children }: { children: React.ReactNode }) { return <html lang="en"><body>{children}</body></html>; }\n',
    'app/page.tsx': PAGE,
    'app/page-of-board.tsx': BOARD,
    'app/board.tsx': await blockOf('react.md', "tsx\n'use client'"),
    'wirehub.toml': await blockOf('react.md', 'toml wirehub.toml'),
    'tsconfig.json': JSON.stringify({
      compilerOptions: {
        target: 'es2022', lib: ['dom', 'dom.iterable', 'esnext'], strict: true, skipLibCheck: true, noEmit: true, allowJs: true,
        esModuleInterop: true, module: 'esnext', moduleResolution: 'bundler', resolveJsonModule: true, isolatedModules: true,
        incremental: true, jsx: 'react-jsx', plugins: [{ name: 'next' }],
      },
      include: ['**/*.ts', '**/*.tsx', '.next/types/**/*.ts', '.next/dev/types/**/*.ts'],
      exclude: ['node_modules'],
    }),
    // Next.js itself is in the folder above the project.
    'next.config.mjs': `export default { turbopack: { root: ${JSON.stringify(HERE)} }, devIndicators: false };\n`,
  });
}

const env = { ...process.env, NEXT_TELEMETRY_DISABLED: '1', CI: '1' };

/** Two people at the board, whose page comes from this command. */
async function used(folder, command) {
  const server = await Program.start(built('wirehub', 'WIREHUB'), ['serve', '--config', join(folder, 'wirehub.toml'), '--listen', '127.0.0.1:0']);
  const port = await freePort();
  try {
    await running(program('next'), [command, '--port', String(port)], { cwd: folder, env, ready: /Ready in/ }, () =>
      inTwoPages(`http://localhost:${port}/?server=${server.origin.replace('http', 'ws')}/ws`, async (ann, ben) => {
        await ann.getByRole('heading', { name: '2 here' }).waitFor();
        await heard(ann, ben, { field: 'Note', button: 'Add' });
      }),
    );
  } finally {
    await server.end('SIGTERM');
  }
}

test("Next.js' development server", async () => {
  await used(await board('next-dev'), 'dev');
});

test('a project built by Next.js, with its types checked', async () => {
  const folder = await board('next-build');
  await run(program('next'), ['build'], { cwd: folder, env }).catch((error) => {
    throw new Error(`${error.message}\n${error.stdout}`);
  });
  await used(folder, 'start');
});
