// Chromium, and the widget as a visitor finds it on a page.

import { chromium } from "playwright-core";

export const { ORRERY_CHROMIUM: chromiumPath, ORRERY_SCREENSHOTS: screenshots } = process.env;

export const flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync"];

export const launch = () => chromium.launch({ executablePath: chromiumPath, args: flags });

export const DESKTOP = { width: 1280, height: 800 };
export const PHONE = { width: 390, height: 844 };

/** A page, with what it complained of, and with `dialogs`: what a script that should not have run would say. */
export async function openPage(browser, url, { viewport = DESKTOP, colorScheme = "light", ...rest } = {}) {
  const context = await browser.newContext({ viewport, colorScheme, permissions: ["clipboard-read", "clipboard-write"], ...rest });
  const page = await context.newPage();
  page.faults = [];
  page.on("pageerror", (error) => page.faults.push(error.message));
  page.on("console", (message) => message.type() === "error" && page.faults.push(message.text()));
  page.on("dialog", (dialog) => (page.faults.push(`dialog: ${dialog.message()}`), dialog.dismiss()));
  page.setDefaultTimeout(10_000);
  await page.goto(url);
  return page;
}

export const bubble = (page) => page.locator("orrery-widget .bubble");
export const panel = (page) => page.getByRole("dialog");
export const answers = (page) => page.locator("orrery-widget .answer");
export const input = (page) => page.getByRole("textbox", { name: "Message" });

export async function open(page) {
  await bubble(page).click();
  await panel(page).waitFor();
}

export async function say(page, text) {
  await input(page).fill(text);
  await input(page).press("Enter");
}

/** Says something and waits for its whole answer, which is then returned as text. */
export async function ask(page, text) {
  const before = await answers(page).count();
  await say(page, text);
  await answers(page).nth(before).waitFor();
  await page.locator("orrery-widget .halt").waitFor({ state: "hidden" });
  return answers(page).nth(before).innerText();
}

/** A picture for people to look at, where `ORRERY_SCREENSHOTS` names a folder. */
export async function picture(page, name) {
  if (screenshots) await page.screenshot({ path: `${screenshots}/${name}.png` });
}
