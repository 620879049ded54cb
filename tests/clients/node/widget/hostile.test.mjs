// The widget against an API and pages that mean it no good: cut frames, hostile texts, refusals, hostile styles.

import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, describe, it } from "node:test";

import { answers, ask, bubble, input, launch, open, openPage, panel, picture, PHONE, say } from "./browser.mjs";
import { answer, CONFIG, frame, openApi, pause } from "./fake-api.mjs";
import { openSite, scriptTag } from "./pages.mjs";

const KEY = "kpn_widget";
const PWNED = "window.pwned = (window.pwned ?? 0) + 1";
/** Texts that would run something, if they were taken for anything but texts. */
const ATTACKS = [
  `<img src=x onerror="${PWNED}">`,
  `<script>${PWNED}</script>`,
  `<svg/onload="${PWNED}">`,
  `[click](javascript:${PWNED.replaceAll(" ", "")})`,
  `[click](JAVASCRIPT:${PWNED.replaceAll(" ", "")} "title")`,
  `[click](<java\tscript:${PWNED}>)`,
  `![x](x"onerror="${PWNED})`,
  `[a](https://e.com/"onmouseover="${PWNED})`,
  `<a href="javascript:${PWNED}">click</a>`,
  `\`<img src=x onerror="${PWNED}">\``,
  `\`\`\`html" onmouseover="${PWNED}\n<img src=x onerror="${PWNED}">\n\`\`\``,
  `| <img src=x onerror="${PWNED}"> | b |\n|---|---|\n| <iframe srcdoc="<script>${PWNED}</script>"> | </td></table><style>*{display:none}</style> |`,
  `<style>*{background:url(https://evil.example/)}</style><link rel=stylesheet href=https://evil.example/>`,
  `<form action=https://evil.example><input name=q autofocus onfocus="${PWNED}"></form>`,
  `<base href="https://evil.example/"><meta http-equiv=refresh content="0;url=https://evil.example">`,
  `<div style="position:fixed;inset:0;z-index:99">covered</div>`,
  `</div></div></section><h1 id=out>out of its box</h1>`,
  `data:text/html,<script>${PWNED}</script> <data:text/html,x> <javascript:${PWNED}>`,
];
const ELEMENTS = {
  P: [], BR: [], HR: [], STRONG: [], EM: [], DEL: [], CODE: [], PRE: ["tabindex", "role", "aria-label"], SPAN: [], BUTTON: ["type"],
  DIV: ["class", "dir", "tabindex", "role", "aria-label"], H3: [], H4: [], H5: [], H6: [], UL: [], OL: ["start"], LI: [], BLOCKQUOTE: [],
  TABLE: [], THEAD: [], TBODY: [], TR: [], TH: ["class", "scope"], TD: ["class"], A: ["href", "target", "rel"],
};

/** What of the answers is not on the list of what may be there. */
const strangers = (page) => page.evaluate((allowed) => {
  const found = [];
  const root = document.querySelector("orrery-widget").shadowRoot;
  for (const element of root.querySelectorAll(".text, .text *, .welcome *")) {
    const attributes = allowed[element.nodeName];
    if (!attributes) found.push(element.nodeName);
    for (const { name, value } of element.attributes) {
      if (!attributes?.includes(name)) found.push(`${element.nodeName} ${name}`);
      if (name === "href" && !/^(https?:\/\/|mailto:)/.test(value)) found.push(value);
      if (name === "class" && !/^(text|code|bar|table|to-(left|center|right))$/.test(value)) found.push(value);
    }
  }
  return found;
}, ELEMENTS);

describe("the widget", () => {
  let browser, site, api;
  before(async () => ([browser, site] = await Promise.all([launch(), openSite()])));
  after(() => Promise.all([browser?.close(), site?.close()]));
  beforeEach(async () => (api = await openApi()));
  afterEach(() => api.close());

  const visit = (page = {}, options = {}, tag = {}) =>
    openPage(browser, site.put({ ...page, body: (page.body ?? "") + scriptTag(api.script, { "data-key": KEY, ...tag }) }), options);
  const finish = async (page, expected = []) => {
    assert.equal(await page.evaluate(() => window.pwned), undefined, "nothing ran");
    assert.deepEqual(page.faults.filter((fault) => !expected.some((one) => fault.includes(one))), []);
    await page.context().close();
  };

  it("reads frames that are cut anywhere, also within a character", async () => {
    const text = "Zażółć 日本 👩‍👩‍👧 **fett**";
    const bytes = Buffer.from(": comment\r\n\r\n" + answer(...text.match(/.{1,3}/gu)).replaceAll("\n", "\r\n"));
    api.reply = async ({ begin, response }) => {
      begin();
      for (let at = 0; at < bytes.length; at += 7) {
        response.write(bytes.subarray(at, at + 7));
        await pause(1);
      }
      response.end();
    };
    const page = await visit();
    await open(page);
    assert.match(await ask(page, "hi"), /Zażółć 日本 👩‍👩‍👧 fett/);
    await finish(page);
  });

  it("takes an answer that breaks off for none, and tries again under the same name", async () => {
    api.reply = ({ number, stream }) =>
      number === 1 ? stream(frame("token", { text: "half an ans" })) : stream(answer("the whole answer"));
    const page = await visit();
    await open(page);
    await say(page, "hi");
    await page.getByText("broke off").first().waitFor();
    await page.getByRole("button", { name: "Try again" }).click();
    await page.locator("orrery-widget .answer", { hasText: "the whole answer" }).waitFor();
    assert.equal(await page.getByText("half an ans").count(), 0);
    assert.equal(await page.locator("orrery-widget .said").count(), 1);
    const [first, second] = api.calls.filter((call) => call.body);
    assert.ok(first.headers["idempotency-key"]);
    assert.equal(second.headers["idempotency-key"], first.headers["idempotency-key"]);
    assert.deepEqual(second.body, first.body);
    await finish(page);
  });

  it("puts the key into no URL, and keeps the stage of the API's path", async () => {
    const page = await visit();
    await open(page);
    await ask(page, "hi");
    assert.deepEqual(api.calls.map((call) => call.url), ["/stage/api/widget/config", "/stage/api/widget/chat"]);
    assert.ok(api.calls.every((call) => call.headers.authorization === `Bearer ${KEY}`));
    await finish(page);
  });

  it("reads the key of the script's own URL where the tag has none", async () => {
    const page = await openPage(browser, site.put({ body: scriptTag(`${api.script}?key=${KEY}`, {}) }));
    await open(page);
    assert.equal(api.calls[0].headers.authorization, `Bearer ${KEY}`);
    await finish(page);
  });

  it("shows hostile answers, tools, errors and settings as texts", async () => {
    const attack = ATTACKS.join("\n\n");
    api.config = { ...CONFIG, welcomeMessage: attack, agentName: ATTACKS[0], theme: { scheme: "<x>", colors: { accent: "red;}*{display:none}" } } };
    api.reply = ({ number, stream, refuse }) =>
      number === 1 ? stream(frame("tool_start", { name: ATTACKS[0] }), frame("tool_end", { name: ATTACKS[0], isError: true }), answer(...attack.match(/[^]{1,40}/g)))
      : number === 2 ? stream(frame("error", { message: attack }))
      : refuse({ status: 400, body: { error: attack, code: attack } });
    const page = await visit();
    await open(page);
    await ask(page, attack);
    await page.getByText("did not work").waitFor();
    assert.deepEqual(await strangers(page), []);
    const links = page.locator("orrery-widget .log a");
    for (const href of await links.evaluateAll((all) => all.map((link) => link.href))) assert.match(href, /^https:\/\//);
    await say(page, "two");
    await page.getByText("Something went wrong").first().waitFor();
    await say(page, "three");
    await page.getByText("could not be taken").first().waitFor();
    await page.reload();
    await page.getByText("out of its box").first().waitFor();
    assert.deepEqual(await strangers(page), []);
    assert.equal(await page.locator("h1").count(), 1, "nothing left the widget");
    await finish(page, ["400 (Bad Request)", "OrreryWidget"]);
  });

  it("builds what is on the list and nothing else, whatever a model writes", async () => {
    let seed = 20260325;
    const random = (most) => (seed = (seed * 1103515245 + 12345) % 2147483648) % most;
    const pieces = [...ATTACKS, "**", "*", "_", "`", "```", "\n", "\n\n", "- ", "1. ", "> ", "# ", "| a | b |\n|---|---|\n| c | d |", "[", "](", ")", "<", ">", '"', "'",
      "https://e.com/", "javascript:", "\\", "~~", "!", "&lt;", "&#106;avascript:", "\u0000", "\u202e", "words "];
    const texts = Array.from({ length: 300 }, () => Array.from({ length: 1 + random(25) }, () => pieces[random(pieces.length)]).join(""));
    api.reply = ({ stream }) => stream(...texts.map((text, index) => frame("tool_start", { name: `t${index}` }) + frame("token", { text })), frame("done", {}));
    const page = await visit();
    await open(page);
    await ask(page, "hi");
    assert.equal(await page.locator("orrery-widget .answer .text").count(), texts.length);
    assert.deepEqual(await strangers(page), []);
    await finish(page);
  });

  it("copies code", async () => {
    api.reply = ({ stream }) => stream(answer("```js\nlet a = '<b>';\n\n```"));
    const page = await visit();
    await open(page);
    await ask(page, "hi");
    await page.getByRole("button", { name: "Copy" }).click();
    await page.getByRole("button", { name: "Copied" }).waitFor();
    assert.equal(await page.evaluate(() => navigator.clipboard.readText()), "let a = '<b>';\n");
    await finish(page);
  });

  it("counts down after a 429, and is ready then", async () => {
    api.reply = ({ number, stream, refuse }) =>
      number === 1 ? refuse({ status: 429, body: { error: "x", code: "rate_limited" }, headers: { "Retry-After": "2" } }) : stream(answer("there you are"));
    const page = await visit();
    await open(page);
    await say(page, "hi");
    const retry = page.getByRole("button", { name: "Try again" });
    await page.getByText(/go on in [12] s/).first().waitFor();
    await picture(page, "limit");
    assert.ok(await retry.isDisabled());
    await input(page).fill("more");
    assert.ok(await page.getByRole("button", { name: "Send" }).isDisabled());
    await page.getByText("You can go on now").first().waitFor();
    assert.ok(await page.getByRole("button", { name: "Send" }).isEnabled());
    await retry.click();
    await page.getByText("there you are").first().waitFor();
    assert.equal(await page.locator("orrery-widget .trouble").count(), 0);
    await finish(page, ["429"]);
  });

  const refusals = [
    [{ status: 401, body: { error: "x", code: "invalid_api_key" } }, "not set up correctly"],
    [{ status: 403, body: { error: "x", code: "origin_not_allowed" } }, "not available on this site"],
    [{ status: 403, body: { error: "x", code: "plan_limit" } }, "reached its limit"],
    [{ status: 409, body: { error: "x" }, headers: { "Retry-After": "1" } }, "still being answered"],
    [{ status: 500, body: "no object" }, "went wrong on our side"],
    [{ status: 503, body: {} }, "went wrong on our side"],
  ];
  it("tells refusals in a person's words", async () => {
    api.reply = ({ body, refuse }) => refuse(refusals[Number(body.message)][0]);
    const page = await visit();
    await open(page);
    for (const [index, [{ status }, words]] of refusals.entries()) {
      await page.getByRole("button", { name: "New conversation" }).click();
      await say(page, String(index));
      await page.locator("orrery-widget .trouble", { hasText: words }).waitFor().catch(() => assert.fail(`${status}: ${words}`));
      assert.equal(await page.getByRole("button", { name: "Try again" }).count(), 1);
    }
    await finish(page, ["Failed to load resource"]);
  });

  it("tells that a visitor is offline", async () => {
    const page = await visit();
    await open(page);
    await page.context().setOffline(true);
    await say(page, "hi");
    await page.getByText("offline").first().waitFor();
    await page.context().setOffline(false);
    await page.getByRole("button", { name: "Try again" }).click();
    await page.locator("orrery-widget .answer", { hasText: "Hello" }).waitFor();
    await finish(page, ["ERR_INTERNET_DISCONNECTED"]);
  });

  it("is not shown where it is switched off, and tells of other refusals", async () => {
    api.config = { status: 403, body: { error: "x", code: "widget_disabled" } };
    let page = await visit({ head: `<script>addEventListener("orrery-widget:error", (event) => (window.heard = event.detail.kind))</script>` });
    await page.waitForFunction(() => window.heard === "closed");
    assert.equal(await page.locator("orrery-widget").count(), 0);
    await page.context().close();
    api.config = { status: 401, body: { error: "x" } };
    page = await visit();
    await open(page);
    await page.getByText("not set up correctly").first().waitFor();
    await finish(page, ["401"]);
  });

  it("keeps its looks and works under styles that mean to break it", async () => {
    const styles = `* { all: unset !important; display: block !important } body * { display: none !important; visibility: hidden !important }
      html { font-size: 3px } div, section, button, orrery-widget, :not(html, head, body) { display: none !important; opacity: 0 !important; transform: scale(0) !important;
      position: static !important; pointer-events: none !important; width: 1px !important; z-index: -1 !important; clip-path: inset(50%) !important; font: 3px serif !important;
      color: red !important; filter: blur(9px) !important; --accent: red !important; --text: red !important; animation: none !important }`;
    const look = async (head) => {
      const page = await visit({ head }, { reducedMotion: "reduce" });
      await open(page);
      await ask(page, "hi");
      const seen = await page.evaluate(() => {
        const root = document.querySelector("orrery-widget").shadowRoot;
        return ["section", ".panel", ".bubble", "h2", "textarea", ".said", ".answer", ".send"].map((name) => {
          const element = root.querySelector(name);
          const { x, y, width, height } = element.getBoundingClientRect();
          const { color, backgroundColor, fontSize, fontFamily, display, visibility, opacity, filter } = getComputedStyle(element);
          return { name, x, y, width, height, color, backgroundColor, fontSize, fontFamily, display, visibility, opacity, filter };
        });
      });
      await picture(page, head ? "hostile-styles" : "plain");
      const faults = page.faults;
      await page.context().close();
      assert.deepEqual(faults, []);
      return seen;
    };
    assert.deepEqual(await look(`<style>${styles}</style>`), await look(""));
  });

  it("needs of a strict policy no more than its script and its connection", async () => {
    const policy = (script) => `default-src 'none'; script-src ${script}; connect-src ${new URL(api.url).origin}; require-trusted-types-for 'script'; trusted-types 'none'`;
    for (const [script, tag] of [[new URL(api.url).origin, {}], ["'nonce-abc'", { nonce: "abc" }]]) {
      const page = await visit({ headers: { "Content-Security-Policy": policy(script) } }, { reducedMotion: "reduce" }, tag);
      await open(page);
      assert.match(await ask(page, "hi"), /Hello/);
      const width = await panel(page).evaluate((element) => element.getBoundingClientRect().width);
      assert.equal(width, 400, "its styles apply");
      assert.deepEqual(page.faults, []);
      await page.context().close();
    }
  });

  it("stands once on a page that names it twice", async () => {
    const page = await visit({ body: scriptTag(api.script, { "data-key": KEY }) });
    await open(page);
    await ask(page, "hi");
    assert.equal(await page.locator("orrery-widget").count(), 1);
    assert.equal(api.calls.filter((call) => call.url.endsWith("config")).length, 1);
    await finish(page);
  });

  it("comes and goes as the page wishes, and tells what happens", async () => {
    api.reply = ({ number, stream, begin }) => (number === 1 ? stream(answer("Hello")) : number === 2 ? stream(frame("error", { message: "x" })) : begin());
    const page = await visit({ head: `<script>window.heard = []; for (const name of ["open", "close", "message", "error"])
      addEventListener("orrery-widget:" + name, (event) => heard.push([name, event.detail.text ?? event.detail.kind]))</script>` }, {}, { "data-mount": "manual" });
    await page.waitForFunction(() => window.OrreryWidget);
    assert.equal(await page.locator("orrery-widget").count(), 0);
    await page.evaluate(() => { OrreryWidget.mount({ title: "Ada", open: true }); OrreryWidget.mount(); });
    await panel(page).waitFor();
    assert.equal(await panel(page).getByRole("heading").innerText(), "Ada");
    await ask(page, "hi");
    await say(page, "again");
    await page.getByText("Something went wrong").first().waitFor();
    await page.evaluate(() => OrreryWidget.close());
    assert.deepEqual(await page.evaluate(() => window.heard),
      [["open", undefined], ["message", "hi"], ["message", "Hello"], ["message", "again"], ["error", "server"], ["close", undefined]]);
    await page.evaluate(() => OrreryWidget.open());
    await say(page, "never answered");
    await page.locator("orrery-widget .halt").waitFor();
    await page.evaluate(() => OrreryWidget.unmount());
    assert.equal(await page.locator("orrery-widget").count(), 0);
    await page.evaluate(() => OrreryWidget.mount());
    await bubble(page).waitFor();
    assert.equal(await page.locator("orrery-widget").count(), 1);
    await finish(page);
  });

  it("takes texts, colours and its place from the tag", async () => {
    const page = await visit({}, {}, {
      "data-position": "bottom-left", "data-accent": "#FFEE00", "data-scheme": "dark", "data-title": "Aide", "data-welcome-message": "Bonjour **toi**",
      "data-text-send": "Envoyer", "data-text-new-conversation": "Recommencer", "data-open": "", "data-keep": "none",
    });
    await panel(page).waitFor();
    await page.getByText("Bonjour toi").waitFor();
    assert.equal(await page.getByRole("button", { name: "Recommencer" }).count(), 1);
    const [x, color, background] = await bubble(page).evaluate((element) =>
      [element.getBoundingClientRect().x, getComputedStyle(element).color, getComputedStyle(element).backgroundColor]);
    assert.deepEqual([x, color, background], [20, "rgb(0, 0, 0)", "rgb(255, 238, 0)"]);
    assert.match(await panel(page).evaluate((element) => getComputedStyle(element).backgroundColor), /rgb\((\d|[1-4]\d), /);
    await ask(page, "hi");
    await picture(page, "left-yellow-dark");
    await page.reload();
    await panel(page).waitFor();
    assert.equal(await page.locator("orrery-widget .said").count(), 0);
    await finish(page);
  });

  it("goes to light and dark with the visitor's system", async () => {
    const page = await visit();
    await open(page);
    const ground = () => panel(page).evaluate((element) => getComputedStyle(element).backgroundColor);
    assert.equal(await ground(), "rgb(255, 255, 255)");
    await page.emulateMedia({ colorScheme: "dark" });
    assert.equal(await ground(), "rgb(22, 25, 30)");
    await finish(page);
  });

  it("is worked by keyboard: opened, kept in, sent, left, and back where it was", async () => {
    const page = await visit({ main: `<button id="opener" onclick="OrreryWidget.open()">Help</button>` });
    await bubble(page).waitFor();
    await page.locator("#opener").focus();
    await page.keyboard.press("Enter");
    await panel(page).waitFor();
    const focused = () => page.evaluate(() => {
      const inner = document.activeElement.shadowRoot?.activeElement;
      return inner ? inner.getAttribute("aria-label") ?? inner.textContent : document.activeElement.id;
    });
    assert.equal(await focused(), "Message");
    await page.keyboard.type("one");
    await page.keyboard.press("Shift+Enter");
    await page.keyboard.type("two");
    await page.keyboard.press("Enter");
    // Until it is answered whole, there is a button that stops it.
    await page.locator("orrery-widget .answer", { hasText: "Hello" }).waitFor();
    await page.locator("orrery-widget .halt").waitFor({ state: "hidden" });
    assert.equal(api.calls.at(-1).body.message, "one\ntwo");
    const around = [];
    for (let step = 0; step < 12; step++) {
      await page.keyboard.press("Tab");
      around.push(await focused());
    }
    assert.deepEqual([...new Set(around)].sort(), ["Close chat", "Conversation", "Message", "New conversation"], "the focus stays in the panel");
    await page.keyboard.press("Shift+Tab");
    assert.ok(around.includes(await focused()));
    await page.keyboard.press("Escape");
    assert.ok(await panel(page).isHidden());
    assert.equal(await focused(), "opener");
    await finish(page);
  });

  it("reads whole answers out, and not each word", async () => {
    api.reply = ({ stream }) => stream(...["# One\n\n", "two ", "**three**"].map((text) => frame("token", { text })), frame("done", {}));
    const page = await visit();
    await open(page);
    await page.evaluate(() => {
      const live = document.querySelector("orrery-widget").shadowRoot.querySelector("[aria-live=polite]");
      window.told = [];
      new MutationObserver(() => window.told.push(live.textContent)).observe(live, { childList: true });
    });
    await ask(page, "hi");
    await page.waitForFunction(() => window.told.length === 2);
    assert.deepEqual(await page.evaluate(() => window.told), ["Thinking…", "Support said: One\ntwo three"]);
    assert.equal(await page.getByRole("log").getAttribute("aria-live"), "off");
    await finish(page);
  });

  it("does not move for those who want nothing to move", async () => {
    const page = await visit({}, { reducedMotion: "reduce" });
    await open(page);
    assert.equal(await panel(page).evaluate((element) => getComputedStyle(element).animationName), "none");
    await finish(page);
  });

  it("lets texts run the way that their script does", async () => {
    api.reply = ({ stream }) => stream(answer("مرحبا بك"));
    const page = await visit();
    await open(page);
    await ask(page, "שלום");
    const directions = await page.locator("orrery-widget .text > p, orrery-widget .said > div").evaluateAll((all) => all.map((one) => getComputedStyle(one).direction));
    assert.deepEqual(directions, ["ltr", "rtl", "rtl"]);
    await finish(page);
  });

  it("leaves the focus alone where it opens by itself", async () => {
    const page = await visit({ main: `<input id="search" autofocus>` }, {}, { "data-open": "" });
    await panel(page).waitFor();
    assert.equal(await page.evaluate(() => document.activeElement.id), "search");
    await page.keyboard.type("x");
    await panel(page).getByRole("button", { name: "Close chat" }).click();
    await open(page);
    assert.equal(await page.evaluate(() => document.activeElement.nodeName), "ORRERY-WIDGET");
    await finish(page);
  });

  it("fills a small screen, and says on its bubble that an answer came", async () => {
    api.reply = async ({ begin, response }) => (begin(), await pause(400), response.end(answer("late")));
    const page = await visit({}, { viewport: PHONE, hasTouch: true, isMobile: true, reducedMotion: "reduce" });
    await open(page);
    const { x, y, width, height } = await panel(page).evaluate((element) => element.getBoundingClientRect().toJSON());
    assert.deepEqual([x, y, width, height], [0, 0, PHONE.width, PHONE.height]);
    assert.ok(await bubble(page).isHidden());
    await say(page, "hi");
    await page.getByRole("button", { name: "Close chat" }).first().click();
    await page.getByRole("button", { name: "Open chat, new answer" }).waitFor();
    await finish(page);
  });
});
