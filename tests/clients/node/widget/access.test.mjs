// The widget for those who hear it, see little, or use no mouse: axe-core and Lighthouse.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { after, before, describe, it } from "node:test";

import lighthouse from "lighthouse";

import { answers, ask, bubble, chromiumPath, DESKTOP, flags, input, launch, open, openPage, PHONE, say } from "./browser.mjs";
import { answer, CONFIG, frame, openApi } from "./fake-api.mjs";
import { listen, openSite, scriptTag } from "./pages.mjs";
import { chromium } from "playwright-core";

const axe = createRequire(import.meta.url).resolve("axe-core");
const MARKDOWN = "# Title\n\nA [link](https://example.com) and `code`.\n\n- one\n- two\n\n> said\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```js\nlet x = 1;\n```";
/** Colours that nobody could read, were they taken as they are. */
const UNREADABLE = { accent: "#ffff99", background: "#fafafa", text: "#eeeeee" };

const reply = ({ body, begin, response, refuse, stream }) =>
  body.message === "wait" ? (begin(), response.write(frame("tool_start", { name: "get_order" })))
  : body.message === "limit" ? refuse({ status: 429, body: {}, headers: { "Retry-After": "60" } })
  : stream(frame("tool_start", { name: "get_order" }), frame("tool_end", { name: "get_order", isError: true }), answer(MARKDOWN));

describe("the widget", () => {
  let browser, site, api;
  before(async () => {
    [browser, site, api] = await Promise.all([launch(), openSite(), openApi()]);
    api.reply = reply;
  });
  after(() => Promise.all([browser?.close(), site?.close(), api?.close()]));

  const violations = async (page, state) => {
    const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
    assert.deepEqual(violations.map(({ id, nodes }) => [state, id, nodes.map((node) => [node.target, node.any[0]?.message])]), []);
  };

  for (const [name, options, theme] of [
    ["light", { viewport: DESKTOP }], ["dark", { viewport: DESKTOP, colorScheme: "dark" }],
    ["phone", { viewport: PHONE }], ["dark phone", { viewport: PHONE, colorScheme: "dark" }],
    ["badly coloured", { viewport: DESKTOP }, { scheme: "light", colors: UNREADABLE }],
    ["badly coloured and dark", { viewport: DESKTOP }, { scheme: "dark", colors: { accent: "#101010", text: "#202020" } }],
  ]) {
    it(`has nothing that axe-core complains of: ${name}`, async () => {
      api.config = { ...CONFIG, theme };
      const page = await openPage(browser, site.put({ body: scriptTag(api.script, { "data-key": "kpn_x" }) }), { ...options, reducedMotion: "reduce" });
      await page.addScriptTag({ path: axe });
      await bubble(page).waitFor();
      await violations(page, "closed");
      await open(page);
      await violations(page, "open");
      await ask(page, "hi");
      await input(page).fill("something");
      await violations(page, "answered");
      await input(page).fill("");
      await say(page, "limit");
      await page.locator("orrery-widget .trouble").waitFor();
      await violations(page, "refused");
      await page.getByRole("button", { name: "New conversation" }).click();
      await say(page, "wait");
      await answers(page).locator(".tool").first().waitFor();
      await violations(page, "waiting");
      await page.context().close();
    });
  }

  for (const formFactor of ["desktop", "mobile"]) {
    it(`has all of Lighthouse's points for accessibility: ${formFactor}`, async () => {
      api.config = CONFIG;
      const free = await listen(() => {});
      const port = Number(new URL(free.url).port);
      await free.close();
      const own = await chromium.launch({ executablePath: chromiumPath, args: [...flags, `--remote-debugging-port=${port}`] });
      try {
        const url = site.put({ body: scriptTag(api.script, { "data-key": "kpn_x", "data-open": "" }) });
        const screenEmulation = formFactor === "desktop" ? { mobile: false, ...DESKTOP, deviceScaleFactor: 1, disabled: false } : undefined;
        const { lhr } = await lighthouse(url, { port, onlyCategories: ["accessibility"], formFactor, screenEmulation, logLevel: "error" });
        const failed = Object.values(lhr.audits).filter((audit) => audit.score !== null && audit.score < 1).map((audit) => audit.id);
        assert.deepEqual([lhr.runtimeError, failed], [undefined, []]);
        assert.equal(lhr.categories.accessibility.score, 1);
        assert.ok(lhr.audits["aria-dialog-name"].score === 1, "it saw the panel");
      } finally {
        await own.close();
      }
    });
  }
});
