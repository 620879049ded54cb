// The start page of `orrery serve` in a browser.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";

import { chromium } from "playwright-core";

const { ORRERY_URL: baseUrl, ORRERY_CHROMIUM: chromiumPath } = process.env;

const flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync"];

describe("the start page", () => {
  let browser;
  before(async () => (browser = await chromium.launch({ executablePath: chromiumPath, args: flags })));
  after(async () => browser?.close());

  for (const colorScheme of ["light", "dark"]) {
    for (const width of [360, 1280]) {
      it(`fits ${width} px, ${colorScheme}, and asks nobody else for anything`, async () => {
        const page = await browser.newPage({ colorScheme, viewport: { width, height: 800 } });
        const faults = [];
        page.on("pageerror", (error) => faults.push(error.message));
        page.on("console", (message) => message.type() === "error" && faults.push(message.text()));
        page.on("request", (request) => request.url().startsWith(baseUrl) || faults.push(request.url()));
        const response = await page.goto(baseUrl);
        assert.ok(response.headers()["content-security-policy"], "it has a content security policy");
        assert.ok((await page.title()).length > 0);
        const overflow = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
        assert.ok(overflow <= 0, `${overflow} px wider than the window`);
        assert.deepEqual(faults.filter((fault) => !fault.includes("favicon")), []);
        await page.close();
      });
    }
  }

  it("has a chat that answers", async () => {
    const page = await browser.newPage({ viewport: { width: 360, height: 800 } });
    await page.goto(baseUrl);
    const box = page.getByRole("textbox").last();
    await box.fill("Is anybody <b>there</b>?");
    await box.press("Enter");
    await page.getByText("You said", { exact: false }).first().waitFor({ timeout: 10_000 });
    const answer = await page.locator("body").innerText();
    assert.ok(answer.split("<b>there</b>").length >= 3, "the question and the answer stand there as text");
    await page.close();
  });
});
