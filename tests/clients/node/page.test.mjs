// The start page of `orrery serve` in a browser: first look, lines to paste, the widget, and the API's description.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { after, before, describe, it } from "node:test";

import { answers, ask, bubble, input, launch, openPage, picture } from "./widget/browser.mjs";

const { ORRERY_URL: baseUrl } = process.env;
const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

describe("the start page", () => {
  let browser;
  before(async () => (browser = await launch()));
  after(async () => browser?.close());

  for (const colorScheme of ["light", "dark"]) {
    for (const width of [360, 1280]) {
      it(`fits ${width} px, ${colorScheme}, is accessible, and asks nobody else for anything`, async () => {
        const page = await openPage(browser, "about:blank", { colorScheme, viewport: { width, height: 900 }, bypassCSP: true });
        page.on("request", (request) => request.url().startsWith(baseUrl) || page.faults.push(request.url()));
        await page.goto(baseUrl);
        await (width < 1024 ? bubble(page) : input(page)).waitFor();
        await picture(page, `start-${colorScheme}-${width}`);
        const overflow = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
        assert.ok(overflow <= 0, `${overflow} px wider than the window`);
        await page.addScriptTag({ content: axe });
        const { violations } = await page.evaluate(() => globalThis.axe.run());
        assert.deepEqual(violations.map(({ id, nodes }) => [id, nodes.map((node) => node.html)]), []);
        assert.deepEqual(page.faults, []);
        await page.context().close();
      });
    }
  }

  it("works under its own content security policy", async () => {
    const page = await openPage(browser, baseUrl);
    const policy = (await (await page.request.get(baseUrl)).headers())["content-security-policy"];
    assert.match(policy, /default-src 'none'; script-src 'nonce-/);
    assert.match(await ask(page, "Is anybody <b>there</b>?"), /You said: Is anybody <b>there<\/b>\?/);
    assert.deepEqual(page.faults, []);
    await page.context().close();
  });

  it("has lines to paste for the agent that is chosen, and its widget", async () => {
    const page = await openPage(browser, baseUrl);
    const [first, second] = await page.getByRole("radio").all();
    const lines = page.getByRole("tabpanel");
    const told = { curl: "curl -N", Python: "from openai", Node: "new OpenAI", MCP: "/api/mcp/server", "Web page": "data-key=" };
    for (const agent of [second, first]) {
      await agent.check();
      for (const [way, word] of Object.entries(told)) {
        await page.getByRole("tab", { name: way, exact: true }).click();
        const text = await lines.innerText();
        assert.ok(text.includes(word) && !text.includes("undefined"), text);
        if (way in { curl: 0, Python: 0, Node: 0 }) assert.ok(text.includes(await agent.getAttribute("value")), text);
      }
    }
    await page.getByRole("tab", { name: "MCP" }).click();
    const server = Object.values(JSON.parse(await lines.locator("pre").innerText()).mcpServers)[0];
    assert.deepEqual(server, { type: "http", url: `${baseUrl}/api/mcp/server`, headers: { Authorization: "Bearer ${ORRERY_KEY}" } });
    await page.getByRole("button", { name: "Copy: .mcp.json" }).click();
    assert.equal(await page.evaluate(() => navigator.clipboard.readText()), await lines.locator("pre").innerText());
    await input(page).waitFor();
    assert.equal(await page.locator("orrery-widget").count(), 1);
    assert.equal(await answers(page).count(), 0, "the agent's own conversation, not another's");
    assert.deepEqual(page.faults, []);
    await page.context().close();
  });

  it("shows the API's description without anything from elsewhere", async () => {
    const page = await openPage(browser, "about:blank");
    page.on("request", (request) => /^(data|blob):/.test(request.url()) || request.url().startsWith(baseUrl) || page.faults.push(request.url()));
    await page.goto(`${baseUrl}/docs/`);
    await page.getByText("/api/widget/chat", { exact: false }).first().waitFor();
    await picture(page, "docs");
    assert.deepEqual(page.faults, []);
    await page.context().close();
  });
});
