// Bundles the widget into ../src/widget.js. With --check it only tells whether that file is what the sources make, and
// small enough.

import { readFileSync, writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

import { build } from "esbuild";

const MOST_GZIPPED = 15_000;
const output = new URL("../src/widget.js", import.meta.url);

const result = await build({
  entryPoints: [new URL("src/main.ts", import.meta.url).pathname],
  bundle: true,
  minify: true,
  format: "iife",
  target: "es2022",
  charset: "ascii",
  legalComments: "none",
  write: false,
});
const made = result.outputFiles[0]?.text ?? "";
const size = gzipSync(made, { level: 9 }).length;
console.log(`${made.length} bytes, ${size} gzipped`);
if (size > MOST_GZIPPED) {
  throw new Error(`The widget has ${size} bytes gzipped; it may have ${MOST_GZIPPED}.`);
}
if (!process.argv.includes("--check")) {
  writeFileSync(output, made);
} else if (readFileSync(output, "utf8") !== made) {
  throw new Error("src/widget.js is not what widget/ makes: run npm run build there.");
}
