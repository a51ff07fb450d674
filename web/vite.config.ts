/// <reference types="vitest/config" />
import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vite";

// Relative addresses, so that the built app works under any prefix and from files.
export default defineConfig({
  base: "./",
  plugins: [svelte()],
  build: {
    outDir: "../src/torchlurk/web/app",
    emptyOutDir: true,
    target: "es2022",
    modulePreload: { polyfill: false },
  },
  test: { css: true },
  worker: { format: "es" },
  server: { proxy: { "/data": "http://127.0.0.1:8000", "/events": "http://127.0.0.1:8000", "/image": "http://127.0.0.1:8000", "/live": { target: "ws://127.0.0.1:8000", ws: true } } },
});
