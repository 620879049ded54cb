// A visitor's conversation with the real API, on a page of another origin.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { after, before, describe, it } from "node:test";

import { answers, ask, bubble, input, launch, open, openPage, panel, picture, PHONE, say } from "./browser.mjs";
import { openSite, scriptTag } from "./pages.mjs";

const { ORRERY_URL: baseUrl, ORRERY_WIDGET_KEY: key, ORRERY_LIMITED_WIDGET_KEY: limitedKey, ORRERY_CLOSED_WIDGET_KEY: closedKey,
  ORRERY_SHOP_WIDGET_KEY: shopKey, ORRERY_BIN: orrery, ORRERY_DATA: data } = process.env;

const source = `${baseUrl}/api/widget/script?key=`;
const markdown = `as follows.

# Returns
You can return **everything** within *30 days*:

1. Pack it
2. Print the [label](https://example.com/label)
   - at home
   - in the shop

> Keep the receipt.

| Item | Price |
|---|---:|
| Book | 12 € |

\`\`\`json
{ "order": 7, "status": "shipped", "carrier": "a long line that has to be scrolled" }
\`\`\``;

describe("the widget on a page", () => {
  let browser, site;
  before(async () => ([browser, site] = await Promise.all([launch(), openSite()])));
  after(() => Promise.all([browser?.close(), site?.close()]));
  const visit = (options, values = { "data-key": key }) => openPage(browser, site.put({ body: scriptTag(source + key, values) }), options);
  const finish = async (page, expected = []) => {
    assert.deepEqual(page.faults.filter((fault) => !expected.some((one) => fault.includes(one))), []);
    await page.context().close();
  };

  it("has a whole conversation: words as they come, a tool, stop, retry, reload, a new beginning", async () => {
    const page = await visit();
    await open(page);
    await say(page, "/long 400");
    const lengths = new Set();
    const halt = page.locator("orrery-widget .halt");
    await answers(page).first().locator(".text").waitFor();
    for (const end = Date.now() + 10_000; Date.now() < end && (await halt.isVisible()); ) {
      lengths.add((await answers(page).first().innerText()).length);
    }
    assert.ok(lengths.size >= 3, `the answer grew in ${lengths.size} steps`);

    assert.match(await ask(page, '/tool add {"a": 2, "b": 3}\n/tool explode {}'), /Used add\s+explode did not work\s+add answered: 5/);
    await picture(page, "tools");

    await say(page, "/long 5000");
    await page.getByText("word3").first().waitFor();
    await page.getByRole("button", { name: "Stop" }).click();
    await page.getByText("Stopped.").first().waitFor();
    assert.doesNotMatch(await answers(page).last().innerText(), /word5000/);
    assert.ok(await page.getByRole("button", { name: "Send" }).isVisible());

    await say(page, "/cut");
    await page.locator("orrery-widget .trouble").waitFor();
    await page.getByRole("button", { name: "Try again" }).click();
    await page.locator("orrery-widget .trouble").waitFor({ state: "detached" });
    await page.locator("orrery-widget .trouble").waitFor();

    await ask(page, "remember the fox");
    const before = await page.locator("orrery-widget .log").innerText();
    await page.reload();
    await panel(page).waitFor();
    assert.equal((await page.locator("orrery-widget .log").innerText()).replace(/\s+/g, " "), before.replace(/\s+/g, " "));
    assert.match(await ask(page, "/history"), /remember the fox/);

    await page.getByRole("button", { name: "New conversation" }).click();
    assert.equal(await answers(page).count(), 0);
    assert.match(await ask(page, "/history"), /given 1 messages/);
    await finish(page);
  });

  it("answers a message once that was cut off by a reload", async () => {
    const page = await visit();
    await open(page);
    await say(page, "/slow 400");
    await page.locator("orrery-widget .halt").waitFor();
    await page.reload();
    await page.getByText("broke off").first().waitFor();
    for (let attempt = 0; attempt < 20 && (await page.locator("orrery-widget .trouble").count()); attempt++) {
      await page.locator("orrery-widget .trouble button:enabled").click();
      await page.locator("orrery-widget .halt").waitFor({ state: "hidden" });
    }
    await answers(page).first().locator(".text").waitFor();
    assert.match(await ask(page, "/history"), /given 3 messages/);
    await finish(page, ["409"]);
  });

  it("carries on for 60 turns, and over a reload", async () => {
    const page = await visit();
    await open(page);
    for (let turn = 1; turn <= 60; turn++) assert.match(await ask(page, `turn ${turn}`), new RegExp(`turn ${turn}\\b`));
    await page.reload();
    await panel(page).waitFor();
    assert.equal(await page.locator("orrery-widget .turn").count(), 60);
    const { top, most } = await page.getByRole("log").evaluate((log) => ({ top: log.scrollTop, most: log.scrollHeight - log.clientHeight }));
    assert.ok(most - top < 2, "its end is in sight");
    assert.match(await ask(page, "turn 61"), /turn 61/);
    await finish(page);
  });

  for (const [name, options] of [["desktop-light", {}], ["desktop-dark", { colorScheme: "dark" }],
    ["phone-light", { viewport: PHONE, deviceScaleFactor: 2 }], ["phone-dark", { viewport: PHONE, colorScheme: "dark", deviceScaleFactor: 2 }]]) {
    it(`shows markdown within its panel: ${name}`, async () => {
      const page = await visit(options);
      await bubble(page).waitFor();
      await picture(page, `${name}-closed`);
      await open(page);
      await ask(page, markdown);
      for (const element of ["h3", "ol", "ul", "blockquote", "table", "pre", "strong", "em", "a"]) {
        assert.ok(await answers(page).first().locator(element).count(), element);
      }
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(wide <= 0, `${wide} px wider than the window`);
      const spills = await page.getByRole("log").evaluate((log) => log.scrollWidth - log.clientWidth);
      assert.ok(spills <= 0, `${spills} px wider than the conversation`);
      await page.getByRole("log").evaluate((log) => log.scrollTo(0, 0));
      await picture(page, `${name}-top`);
      await page.getByRole("log").evaluate((log) => log.scrollTo(0, log.scrollHeight));
      await input(page).fill("Where is my order?");
      await picture(page, `${name}-end`);
      await finish(page);
    });
  }

  it("is stopped by the limit of its key, and goes on when told", async () => {
    const page = await visit({}, { "data-key": limitedKey });
    await open(page);
    for (let turn = 0; turn < 25 && !(await page.locator("orrery-widget .trouble").count()); turn++) {
      await say(page, `${turn}`);
      await page.locator("orrery-widget .halt").waitFor({ state: "hidden" });
    }
    await page.getByText(/go on in \d+ s/).first().waitFor();
    await page.locator("orrery-widget .trouble button:enabled").click();
    await page.locator("orrery-widget .trouble").waitFor({ state: "detached" });
    await page.locator("orrery-widget .halt").waitFor({ state: "hidden" });
    assert.equal(await page.locator("orrery-widget .trouble").count(), 0);
    await finish(page, ["429"]);
  });

  it("works on a page that is allowed", async () => {
    const own = ["key", "create", "--agent", "echo", "--kind", "widget", "--origin", site.url, "--quiet", "--data", data];
    const page = await visit({}, { "data-key": execFileSync(orrery, own, { encoding: "utf8" }).trim() });
    await open(page);
    assert.match(await ask(page, "hi"), /You said: hi/);
    await finish(page);
  });

  it("tells a page that is not allowed", async () => {
    const page = await visit({}, { "data-key": shopKey });
    await open(page);
    await page.getByText("not available on this site").first().waitFor();
    await picture(page, "foreign");
    await say(page, "hi");
    await page.getByRole("button", { name: "Try again" }).waitFor();
    await page.locator("orrery-widget .trouble", { hasText: "not available on this site" }).waitFor();
    await finish(page, ["CORS policy", "ERR_FAILED"]);
  });

  it("is not there where the agent's widget is switched off", async () => {
    const page = await visit({}, { "data-key": closedKey });
    await page.waitForEvent("console", { predicate: (message) => message.text().includes("closed") });
    assert.equal(await page.locator("orrery-widget").count(), 0);
    await finish(page, ["403"]);
  });
});
