/**
 * Builds the library as one ES module with a fixed name, `client.js`, beside the page.
 *
 * It is a build of its own so that the page's hashed files never import an unhashed one: after an upgrade
 * a cached `client.js` must not meet a newer page.
 */
import { defineConfig } from "vite";

export default defineConfig({
  publicDir: false,
  build: {
    outDir: "../sfu/web",
    emptyOutDir: false,
    target: "es2022",
    sourcemap: true,
    lib: { entry: "src/client/index.ts", formats: ["es"], fileName: () => "client.js" },
  },
});
