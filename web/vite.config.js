/** Builds the page into the Python package; `vite` alone serves it for development. */
import { defineConfig } from "vitest/config";

export default defineConfig({
  // Relative, so that the page also works below a path prefix of a reverse proxy.
  base: "./",
  build: {
    outDir: "../sfu/web",
    emptyOutDir: true,
    target: "es2022",
    sourcemap: true,
    // What is bundled may only be passed on with its licences.
    license: { fileName: "licenses.txt" },
    // The server's content security policy allows neither inline scripts nor data: scripts.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  server: {
    proxy: { "/ws": { target: "http://127.0.0.1:8080", ws: true } },
  },
  test: {
    include: ["tests/**/*.test.{ts,tsx}"],
    environment: "node",
    restoreMocks: true,
  },
});
