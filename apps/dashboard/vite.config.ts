import { defineConfig } from 'vite';

export default defineConfig({
  base: '/',
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  build: {
    target: 'es2023',
    // The content security policy allows files of this address only, so nothing is inlined as a data: script or style.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    sourcemap: false,
  },
  server: {
    // `npm run dev -w apps/dashboard` beside a running Weir.
    proxy: { '/api': { target: 'http://127.0.0.1:8080', ws: true } },
  },
});
