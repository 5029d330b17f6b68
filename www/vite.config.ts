import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vite";
import { shell } from "./shell.ts";

// For `vite dev`: where a running network's `network.json` is found.
const server = process.env["HDMS_SERVER"] ?? "http://localhost:8080";

export default defineConfig({
  // Relative, so that a server may put the pages under any path.
  base: "./",
  plugins: [svelte(), shell()],
  server: { proxy: { "/network.json": server } },
  build: {
    target: "es2022",
    modulePreload: { polyfill: false },
    rolldownOptions: { input: ["index.html", "console.html"] },
  },
});
