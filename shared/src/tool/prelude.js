// Runs in the sandbox before the tool's code and keeps the functions that read its outcome, so that nothing which the
// code does to the built-in objects reaches them.
(() => {
  "use strict";
  const { stringify } = JSON;
  const { apply } = Reflect;
  const { slice, toWellFormed } = String.prototype;
  const ErrorClass = Error;
  const cut = (text, length) => apply(toWellFormed, apply(slice, text, [0, length]), []);

  const silent = () => {};
  globalThis.console = { debug: silent, error: silent, info: silent, log: silent, warn: silent };
  globalThis.result = undefined;

  return {
    // The outcome as text: its length in UTF-16 units, and its beginning.
    render(returned, length) {
      const value = globalThis.result === undefined ? returned : globalThis.result;
      const json = typeof value === "string" ? value : stringify(value);
      const text = json === undefined ? "null" : json;
      return [text.length, cut(text, length)];
    },
    // What was thrown, in a line, and the stack of where.
    describe(thrown) {
      if (!(thrown instanceof ErrorClass)) {
        const text = typeof thrown === "string" ? thrown : stringify(thrown);
        return [cut(text === undefined ? typeof thrown : text, 1000), ""];
      }
      const stack = typeof thrown.stack === "string" ? thrown.stack : "";
      return [cut(`${thrown.name}: ${thrown.message}`, 1000), cut(stack, 4000)];
    },
  };
})();
