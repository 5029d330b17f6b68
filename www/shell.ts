// Builds the service worker after the pages, as it names their files.

import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { build, type Plugin, type ResolvedConfig, type Rolldown } from "vite";

const SOURCE = "src/shell/sw.ts";
/** The page that works without a network; the consoles need their server anyway. */
const PAGE = "index.html";

/** Adds `sw.js` to the built pages; `vite dev` answers it from its source. */
export function shell(): Plugin {
  let config: ResolvedConfig;
  return {
    name: "hdms-shell",
    config: () => ({ define: { __SHELL__: JSON.stringify({ version: "dev", files: [] }) } }),
    configResolved(resolved) {
      config = resolved;
    },
    configureServer(server) {
      server.middlewares.use((request, _response, next) => {
        if (request.url === "/sw.js") request.url = `/${SOURCE}`;
        next();
      });
    },
    async writeBundle(_options, bundle) {
      await buildWorker(config, [...filesOf(bundle), ...readdirSync(config.publicDir)]);
    },
  };
}

/** Needs the network anyway, and few deployments use it: not kept for when there is none. */
const FIREBASE = /\/node_modules\/@?firebase\//;

/** What the page loads, at once and later: scripts, styles, pictures and itself. */
function filesOf(bundle: Rolldown.OutputBundle): string[] {
  const found = new Set<string>([PAGE]);
  const visit = (name: string): void => {
    const chunk = bundle[name];
    if (chunk?.type !== "chunk" || found.has(name) || chunk.moduleIds.some((id) => FIREBASE.test(id))) return;
    found.add(name);
    chunk.viteMetadata?.importedCss.forEach((file) => found.add(file));
    chunk.viteMetadata?.importedAssets.forEach((file) => found.add(file));
    [...chunk.imports, ...chunk.dynamicImports].forEach(visit);
  };
  for (const chunk of Object.values(bundle)) {
    if (chunk.type === "chunk" && chunk.facadeModuleId?.endsWith(`/${PAGE}`)) visit(chunk.fileName);
  }
  return [...found];
}

async function buildWorker(config: ResolvedConfig, files: string[]): Promise<void> {
  await build({
    configFile: false,
    root: config.root,
    base: "./",
    publicDir: false,
    logLevel: config.logLevel ?? "info",
    resolve: { alias: config.resolve.alias },
    define: { __SHELL__: JSON.stringify({ version: digestOf(config, files), files }) },
    build: {
      target: "es2022",
      outDir: config.build.outDir,
      emptyOutDir: false,
      modulePreload: false,
      rolldownOptions: { input: SOURCE, output: { entryFileNames: "sw.js" } },
    },
  });
}

function digestOf({ root, build: { outDir } }: ResolvedConfig, files: string[]): string {
  const digest = createHash("sha256");
  for (const file of files.sort()) digest.update(file).update(readFileSync(resolve(root, outDir, file)));
  return digest.digest("hex").slice(0, 16);
}
