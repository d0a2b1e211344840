// node photograph.mjs CHROMIUM ANSWERS.json PICTURE.png: bundles page.tsx, opens it, and takes its picture.
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import puppeteer from "puppeteer-core";

const [chromium, answers, picture] = process.argv.slice(2);
const here = fileURLToPath(new URL(".", import.meta.url));
const modules = join(here, "node_modules");
// Where Grafana's server has it; the font is published elsewhere.
const FONTS = {
  "/public/fonts/inter/Inter-Regular.woff2": "inter-latin-400-normal.woff2",
  "/public/fonts/inter/Inter-Medium.woff2": "inter-latin-500-normal.woff2",
};
const WIDTH = 1600;

const bundle = await build({
  entryPoints: [join(here, "page.tsx")],
  outdir: "/bundle",
  bundle: true,
  write: false,
  format: "iife",
  jsx: "automatic",
  logLevel: "error",
  // Grafana's ES modules import CommonJS as bundlers for the web do, and not as esbuild does for .mjs.
  alias: Object.fromEntries(
    ["@grafana/ui", "@grafana/data"].map((name) => [name, join(modules, name, "dist/cjs/index.cjs")]),
  ),
  define: { "process.env.NODE_ENV": '"production"', global: "window" },
  loader: { ".svg": "dataurl", ".png": "dataurl", ".woff": "dataurl", ".woff2": "dataurl", ".ttf": "dataurl" },
});
const made = Object.fromEntries(bundle.outputFiles.map((file) => [extname(file.path), file.contents]));
const html = `<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,">
  <link rel="stylesheet" href="/page.css"><body><div id="page"></div><script src="/page.js"></script>`;

const kinds = { ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".json": "application/json" };
const server = createServer(async (request, response) => {
  const path = normalize(decodeURIComponent(new URL(request.url, "http://here").pathname));
  try {
    let body;
    if (path === "/") body = html;
    else if (path === "/answers.json") body = await readFile(answers);
    else if (path === "/page.js" || path === "/page.css") body = made[extname(path)] ?? "";
    else if (path in FONTS) body = await readFile(join(modules, "@fontsource/inter/files", FONTS[path]));
    else body = await readFile(join(modules, "@grafana/ui/dist", path));
    response.writeHead(200, { "Content-Type": kinds[extname(path)] ?? "text/html" }).end(body);
  } catch {
    response.writeHead(404).end();
  }
}).listen(0, "127.0.0.1");
await new Promise((listening) => server.once("listening", listening));

// As root, Chromium has no sandbox; it opens this page alone.
const browser = await puppeteer.launch({ executablePath: chromium, args: ["--no-sandbox", "--hide-scrollbars"] });
const faults = [];
try {
  const page = await browser.newPage();
  page.on("pageerror", (fault) => faults.push(String(fault.stack ?? fault)));
  page.on("console", (said) => said.type() === "error" && faults.push(`${said.text()} ${said.location().url ?? ""}`));
  await page.setViewport({ width: WIDTH, height: 1000 });
  await page.goto(`http://127.0.0.1:${server.address().port}/`);
  await page.waitForFunction("window.drawn > 0 || window.failed", { timeout: 60_000 });
  const height = await page.evaluate("window.drawn");
  if (height) {
    await page.setViewport({ width: WIDTH, height });
    await new Promise((settled) => setTimeout(settled, 2_000));
    await page.screenshot({ path: picture });
  }
} finally {
  await browser.close();
  server.close();
}
for (const fault of faults) console.error(fault);
process.exit(faults.length ? 1 : 0);
