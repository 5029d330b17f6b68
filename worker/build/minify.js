// Takes comments and long names out of every script in a folder: `node minify.js FOLDER`.

import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { minify } from "rolldown/utils";

const [folder] = process.argv.slice(2);
for (const name of readdirSync(folder, { recursive: true })) {
  if (!name.endsWith(".js")) continue;
  const path = join(folder, name);
  const { code, errors } = await minify(name, readFileSync(path, "utf8"), {
    module: true,
    mangle: { toplevel: true },
  });
  if (errors.length > 0) throw errors[0];
  writeFileSync(path, code);
}
