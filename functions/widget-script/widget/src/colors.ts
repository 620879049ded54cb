// The widget's palette: from a few colours, whatever they are, to one whose texts can be read.
// https://www.w3.org/TR/WCAG22/#contrast-minimum

export type Scheme = "auto" | "light" | "dark";

export interface Colors {
  accent?: string | undefined;
  background?: string | undefined;
  text?: string | undefined;
}

/** Red, green and blue, 0 to 255. */
export type Rgb = [number, number, number];

export const BLACK: Rgb = [0, 0, 0];
export const WHITE: Rgb = [255, 255, 255];
const READABLE = 4.5;
/** For borders of what is operated. */
const VISIBLE = 3;
const ACCENT = "#1f5f8b";

export function readColor(text: string | undefined): Rgb | undefined {
  const digits = /^#([0-9a-f]{6})$/i.exec(text ?? "")?.[1];
  if (!digits) return undefined;
  const number = Number.parseInt(digits, 16);
  return [number >> 16, (number >> 8) & 255, number & 255];
}

export function writeColor(color: Rgb): string {
  return `#${color.map((part) => part.toString(16).padStart(2, "0")).join("")}`;
}

/** The first colour with so much (0 to 1) of the second. */
export function mix([red, green, blue]: Rgb, [otherRed, otherGreen, otherBlue]: Rgb, share: number): Rgb {
  const part = (one: number, other: number) => Math.round(one + (other - one) * share);
  return [part(red, otherRed), part(green, otherGreen), part(blue, otherBlue)];
}

function luminance(color: Rgb): number {
  const [red = 0, green = 0, blue = 0] = color.map((part) => {
    const share = part / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

export function contrast(one: Rgb, other: Rgb): number {
  const [darker = 0, lighter = 0] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (lighter + 0.05) / (darker + 0.05);
}

/** Black or white, whichever is read better on this colour: one of them always has a contrast of 4.5. */
export function inkOn(color: Rgb): Rgb {
  return contrast(color, WHITE) >= READABLE || contrast(color, WHITE) >= contrast(color, BLACK) ? WHITE : BLACK;
}

/** The colour, moved towards black or white until it has this contrast to all of these grounds. */
export function towards(color: Rgb, grounds: Rgb[], wanted: number): Rgb {
  const end = inkOn(grounds[0] ?? WHITE);
  for (let share = 0; share < 1; share += 0.05) {
    const moved = mix(color, end, share);
    if (grounds.every((ground) => contrast(moved, ground) >= wanted)) return moved;
  }
  return end;
}

/** The custom properties of the style sheet. */
export function palette(colors: Colors, scheme: "light" | "dark"): Record<string, Rgb> {
  const isDark = scheme === "dark";
  const background = readColor(colors.background) ?? (isDark ? [22, 25, 30] : WHITE);
  const ink = inkOn(background);
  // Grounds a shade apart from the panel's: towards the ink, where it can still be read on them.
  const shade = (share: number) => {
    const nearer = mix(background, ink, share);
    return contrast(nearer, ink) >= 2 * READABLE ? nearer : mix(background, ink === WHITE ? BLACK : WHITE, share);
  };
  const raised = shade(0.05);
  const code = shade(0.08);
  const grounds = [background, raised, code];
  const text = towards(readColor(colors.text) ?? mix(ink, background, 0.1), grounds, READABLE);
  const own = readColor(colors.accent);
  const accent = own ?? (isDark ? [122, 186, 232] : (readColor(ACCENT) ?? BLACK));
  return {
    background,
    raised,
    code,
    text,
    soft: towards(mix(text, background, 0.4), grounds, READABLE),
    line: mix(background, ink, 0.14),
    edge: towards(mix(background, ink, 0.3), [background], VISIBLE),
    accent,
    onaccent: inkOn(accent),
    link: towards(accent, grounds, READABLE),
    bad: towards(isDark ? [255, 150, 140] : [170, 30, 25], grounds, READABLE),
  };
}
