// The script's start: reads its own tag, and gives the page `OrreryWidget`.

import { fromTag, type MountOptions, read } from "./options.ts";
import { Widget } from "./widget.ts";

/** What pages may call. */
export interface OrreryWidgetApi {
  /** Puts the widget on the page; nothing where it stands there. */
  mount: (options?: MountOptions) => void;
  /** Takes it off the page, and ends what it does. */
  unmount: () => void;
  open: () => void;
  close: () => void;
}

declare global {
  interface Window {
    OrreryWidget?: OrreryWidgetApi;
  }
}

function start(): void {
  const tag = document.currentScript instanceof HTMLScriptElement ? document.currentScript : null;
  const options = fromTag(tag);
  let widget: Widget | undefined;
  const api: OrreryWidgetApi = {
    mount: (given = {}) => {
      if (widget) return;
      const own = new Widget(read(given, options));
      widget = own;
      if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", () => void own.start());
      else void own.start();
    },
    unmount: () => {
      widget?.end();
      widget = undefined;
    },
    open: () => widget?.open(),
    close: () => widget?.close(),
  };
  window.OrreryWidget = api;
  if (tag && tag.getAttribute("data-mount") !== "manual") api.mount();
}

// A second tag on the same page does nothing.
if (!window.OrreryWidget) start();
