// How a page sets the widget up: by attributes of its script tag, or by what it gives `OrreryWidget.mount`.

import { readScheme } from "./api.ts";
import { type Colors, type Scheme, readColor } from "./colors.ts";
import type { Keeping } from "./memory.ts";
import { attributeOf, ENGLISH, type Texts } from "./texts.ts";

/** What `mount` takes. What is left out is as the script's tag, the agent's settings, or the default has it. */
export interface MountOptions {
  key?: string;
  baseUrl?: string;
  title?: string;
  welcomeMessage?: string;
  position?: "bottom-right" | "bottom-left";
  scheme?: Scheme;
  accent?: string;
  background?: string;
  text?: string;
  open?: boolean;
  keep?: Keeping;
  nonce?: string;
  texts?: Partial<Texts>;
}

/** The same, read. */
export interface Options {
  key: string;
  baseUrl: string;
  title: string | undefined;
  welcomeMessage: string | undefined;
  position: "bottom-right" | "bottom-left" | undefined;
  scheme: Scheme | undefined;
  colors: Colors;
  open: boolean;
  keep: Keeping;
  nonce: string;
  texts: Texts;
}

const SCRIPT_PATH = /\/api\/widget\/script\/?$/;

/** What the script's tag says. */
export function fromTag(tag: HTMLScriptElement | null): MountOptions {
  if (!tag) return {};
  const source = tag.src ? new URL(tag.src) : undefined;
  const given = (name: string) => tag.getAttribute(`data-${name}`) ?? undefined;
  const texts: Partial<Texts> = {};
  for (const name of Object.keys(ENGLISH) as (keyof Texts)[]) {
    const text = given(`text-${attributeOf(name)}`);
    if (text !== undefined) texts[name] = text;
  }
  return withoutGaps({
    key: given("key") ?? source?.searchParams.get("key") ?? undefined,
    baseUrl: given("base-url") ?? (source && baseOf(source)),
    title: given("title"),
    welcomeMessage: given("welcome-message"),
    position: given("position") as MountOptions["position"],
    scheme: given("scheme") as MountOptions["scheme"],
    accent: given("accent"),
    background: given("background"),
    text: given("text"),
    open: given("open") === undefined ? undefined : given("open") !== "false",
    keep: given("keep") as MountOptions["keep"],
    nonce: tag.nonce || undefined,
    texts,
  });
}

/** Where the API is that a script came from, the stage of its path included; a copy of the script tells nothing. */
function baseOf(source: URL): string | undefined {
  return SCRIPT_PATH.test(source.pathname) ? source.origin + source.pathname.replace(SCRIPT_PATH, "") : undefined;
}

/** What is given, over what the tag says. Without a key or a base there is no widget. */
export function read(given: MountOptions, tag: MountOptions): Options {
  const all = { ...tag, ...withoutGaps(given) };
  if (!all.key) throw new Error("OrreryWidget: there is no key. Give the script tag data-key.");
  if (all.baseUrl === undefined) throw new Error("OrreryWidget: there is no base URL. Give the script tag data-base-url.");
  const color = (text: string | undefined) => (readColor(text) ? text : undefined);
  return {
    key: all.key,
    baseUrl: all.baseUrl.replace(/\/+$/, ""),
    title: all.title,
    welcomeMessage: all.welcomeMessage,
    position: all.position === "bottom-left" || all.position === "bottom-right" ? all.position : undefined,
    scheme: all.scheme && readScheme(all.scheme),
    colors: { accent: color(all.accent), background: color(all.background), text: color(all.text) },
    open: all.open ?? false,
    keep: all.keep === "local" || all.keep === "none" ? all.keep : "session",
    nonce: all.nonce ?? "",
    texts: { ...ENGLISH, ...tag.texts, ...withoutGaps(given.texts ?? {}) },
  };
}

function withoutGaps<T extends object>(values: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  const entries = Object.entries(values).filter(([, value]) => value !== undefined && value !== null);
  return Object.fromEntries(entries) as { [K in keyof T]: Exclude<T[K], undefined> };
}
