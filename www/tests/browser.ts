// The built pages in a real Chromium, with the fake node behind them.

import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import axe from "axe-core";
import { chromium, type Browser, type Page } from "playwright-core";
import { build, preview, type PreviewServer } from "vite";
import { expect } from "vitest";
import type { Fake } from "./fake-node";

const root = join(import.meta.dirname, "..");
const PHONE = { width: 390, height: 844 };
const DESK = { width: 1280, height: 800 };

/** A server of the built pages and a browser to visit them with. */
export class Site {
  private constructor(
    private readonly server: PreviewServer,
    private readonly browser: Browser,
    private readonly folder: string,
    readonly url: string,
  ) {}

  static async open(): Promise<Site> {
    const outDir = mkdtempSync(join(tmpdir(), "hdms-pages-"));
    const quiet = { root, logLevel: "error" } as const;
    const alias = [{ find: /^hdms-node$/, replacement: join(root, "tests/fake-node.ts") }];
    await build({ ...quiet, mode: "fake", resolve: { alias }, build: { outDir, emptyOutDir: true } });
    const server = await preview({ ...quiet, build: { outDir }, preview: { port: 0 } });
    const executablePath = execFileSync("which", ["chromium"], { encoding: "utf8" }).trim();
    const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu"] });
    return new Site(server, browser, outDir, server.resolvedUrls?.local[0] ?? "");
  }

  async close(): Promise<void> {
    await this.browser.close();
    await this.server.close();
    rmSync(this.folder, { recursive: true });
  }

  /** A fresh visitor's page; whatever the page itself gets wrong fails the test that visits. */
  async visit(path: string, prepare?: (page: Page) => Promise<void>): Promise<Page> {
    const context = await this.browser.newContext({ viewport: PHONE });
    const page = await context.newPage();
    page.setDefaultTimeout(20_000);
    page.on("pageerror", (error) => {
      throw error;
    });
    await prepare?.(page);
    await page.goto(this.url + path);
    return page;
  }
}

/** Plays the hospital and the misfortunes in the page of the fake node. */
export async function play<T>(page: Page, act: (fake: Fake, argument: T) => unknown, argument: T): Promise<void> {
  await page.evaluate(
    ([source, given]) => {
      const run = new Function("fake", "argument", `return (${source})(fake, argument)`);
      return run((window as unknown as { fake: unknown }).fake, given);
    },
    [act.toString(), argument] as const,
  );
}

/**
 * Nothing on the page hinders a person with a disability, by the rules of WCAG 2.2 AA that a machine
 * can check, in light and in dark; and with SCREENS naming a folder, pictures are kept there.
 */
export async function look(page: Page, name: string): Promise<void> {
  for (const colorScheme of ["dark", "light"] as const) {
    await page.emulateMedia({ colorScheme });
    expect(await hindrances(page), `${name} in ${colorScheme}`).toEqual([]);
    await picture(page, `${name}-${colorScheme}`);
  }
}

/** The tests' own script, put in by the debugger: the page's policy would refuse it. */
async function hindrances(page: Page): Promise<string[]> {
  await page.evaluate(axe.source);
  return page.evaluate(async () => {
    const { axe } = window as unknown as { axe: typeof import("axe-core") };
    const { violations } = await axe.run({ runOnly: ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"] });
    return violations.flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html}`));
  });
}

async function picture(page: Page, name: string): Promise<void> {
  const folder = process.env["SCREENS"];
  if (!folder) return;
  await page.screenshot({ path: join(folder, `${name}-phone.png`), fullPage: true });
  await page.setViewportSize(DESK);
  await page.screenshot({ path: join(folder, `${name}-desk.png`), fullPage: true });
  await page.setViewportSize(PHONE);
}
