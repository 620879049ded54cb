// Making elements: tags, properties and texts, and never markup.

type Child = Node | string | undefined;

/** An element with attributes and children; a text is a text, whatever it says. */
export function make<T extends keyof HTMLElementTagNameMap>(
  tag: T,
  attributes: Record<string, string> = {},
  ...children: Child[]
): HTMLElementTagNameMap[T] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children.filter((child) => child !== undefined));
  return element;
}

/** A button with a name for those who do not see its picture. */
export function iconButton(label: string, path: string, name: string): HTMLButtonElement {
  return make("button", { type: "button", class: name, "aria-label": label, title: label }, icon(path));
}

/** A picture of 24 by 24, drawn by lines. */
export function icon(path: string): SVGSVGElement {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const line = document.createElementNS(space, "path");
  line.setAttribute("d", path);
  svg.append(line);
  return svg;
}

export const PICTURES = {
  chat: "M4 5.5h16v11H10.5L6 20v-3.5H4z",
  close: "M6 6l12 12M18 6L6 18",
  down: "M5 9l7 7 7-7",
  anew: "M12 5v14M5 12h14",
  send: "M12 19V5M5.5 11.5L12 5l6.5 6.5",
  stop: "M7 7h10v10H7z",
  spark: "M12 3l2.2 6.3L20.5 12l-6.3 2.2L12 21l-2.2-6.8L3.5 12l6.3-2.7z",
  tool: "M14.5 6.5a4 4 0 0 1 5-1.2l-2.8 2.8 1.2 1.2 2.8-2.8a4 4 0 0 1-5.2 5L9 18a2.1 2.1 0 0 1-3-3l6.5-6.5",
  done: "M5 12.5l4.5 4.5L19 7.5",
};
