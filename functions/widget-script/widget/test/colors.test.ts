import assert from "node:assert/strict";
import { it } from "node:test";

import { BLACK, contrast, palette, readColor, type Rgb, WHITE, writeColor } from "../src/colors.ts";

/** Colours all over the cube, and those where black and white are nearly alike. */
function* colors(): Generator<string> {
  const parts = [0, 51, 102, 110, 117, 119, 121, 128, 153, 204, 255];
  for (const red of parts) for (const green of parts) for (const blue of parts) yield writeColor([red, green, blue]);
}

it("contrast is that of WCAG", () => {
  assert.equal(contrast(BLACK, WHITE), 21);
  assert.ok(Math.abs(contrast(readColor("#777777")!, WHITE) - 4.48) < 0.01);
});

it("what is no colour is none", () => {
  for (const text of ["red", "#fff", "#12345g", "#1234567", "rgb(0,0,0)", "", undefined]) assert.equal(readColor(text), undefined);
  assert.deepEqual(readColor("#1A6b5c"), [26, 107, 92]);
});

it("every text can be read, whatever colours are set", () => {
  const check = (found: Record<string, Rgb>, what: string) => {
    for (const ground of ["background", "raised", "code"]) {
      for (const ink of ["text", "soft", "link", "bad"]) {
        assert.ok(contrast(found[ground]!, found[ink]!) >= 4.5, `${ink} on ${ground}: ${what}`);
      }
    }
    assert.ok(contrast(found["accent"]!, found["onaccent"]!) >= 4.5, `on the accent: ${what}`);
    assert.ok(contrast(found["edge"]!, found["background"]!) >= 3, `edges: ${what}`);
  };
  for (const scheme of ["light", "dark"] as const) {
    check(palette({}, scheme), scheme);
    for (const color of colors()) {
      check(palette({ accent: color }, scheme), `accent ${color}`);
      check(palette({ background: color }, scheme), `background ${color}`);
      check(palette({ background: color, text: color, accent: color }, scheme), `all ${color}`);
    }
  }
});
