//! Code that means harm: each piece ends as an error, within its bounds, while others go on.

use std::time::{Duration, Instant};

use serde_json::json;

use super::super::{SandboxSettings, Toolbox};
use super::{run, scripted, value};

const TIME: Duration = Duration::from_millis(250);

fn hasty(code: &str) -> Toolbox {
    scripted(code).with_sandbox(SandboxSettings { time: TIME, ..SandboxSettings::default() })
}

async fn assert_out_of_time(code: &str) {
    let started = Instant::now();
    let outcome = hasty(code).call("tool", &json!({}), None).await;
    assert!(outcome.is_error && outcome.content == "the code exceeded 250 ms", "{code}: {outcome:?}");
    assert!(started.elapsed() < Duration::from_secs(5), "{code}: {:?}", started.elapsed());
}

#[tokio::test]
async fn code_that_does_not_end_is_stopped() {
    for code in [
        "for (;;) {}",
        "await null; for (;;) {}",
        "try { for (;;) {} } catch { return 'caught' }",
        "try { for (;;) {} } finally { for (;;) {} }",
        "for (;;) { try { for (;;) {} } catch {} }",
        "try { await null; for (;;) {} } finally { return 'kept' }",
        "const f = async () => { await null; f() }; f(); await new Promise(() => {})",
        "const f = () => queueMicrotask(f); f(); return new Promise(() => {})",
        "const f = () => { Promise.resolve().then(f) }; f(); await new Promise(() => {})",
        "for (;;) await null",
        "return /^(a+)+$/.test('a'.repeat(40) + 'b')",
        "return 'a'.repeat(40).replace(/(a*)*$b/g, '')",
        "return { get a() { for (;;) {} } }",
        "return { toJSON() { for (;;) {} } }",
        "throw { toString() { for (;;) {} }, toJSON() { for (;;) {} } }",
        "const e = new Error(''); Object.defineProperty(e, 'name', { get() { for (;;) {} } }); throw e",
        "const e = new Error(''); Object.defineProperty(e, 'stack', { get() { for (;;) {} } }); throw e",
        "return { then() { for (;;) {} } }",
        "return { get then() { for (;;) {} } }",
        "return new Proxy({}, { ownKeys() { for (;;) {} } })",
        "for (const _ of (function* () { for (;;) yield })()) {}",
        "(function* () { for (;;) {} })().next()",
        "eval('for (;;) {}')",
        "Function('for (;;) {}')()",
        "(async () => {}).constructor('await null; for (;;) {}')().then(() => {}); await new Promise(() => {}); ",
        "class A { static { for (;;) {} } }",
        "[1, 2].sort(() => { for (;;) {} })",
        "'a'.replace(/a/, () => { for (;;) {} })",
        "const s = new Set([1]); s.forEach((v) => { s.delete(v); s.add(v) })",
        "Object.prototype.then = function () { for (;;) {} }; return {}",
        "}); for (;;) {} ({",
        "const a = []; a.length = 4294967295; a.indexOf(1); for (;;) {}",
        "Array.prototype.includes.call({ length: 2 ** 53 - 1 }, 1)",
        "Array.prototype.forEach.call({ length: 2 ** 53 - 1 }, () => {})",
    ] {
        assert_out_of_time(code).await;
    }
}

#[tokio::test]
async fn a_loop_within_the_engine_is_answered_in_time() {
    assert_out_of_time("return 'a'.repeat(400_000).indexOf('a'.repeat(200_000) + 'b')").await;
}

#[tokio::test]
async fn a_promise_that_nothing_settles_is_told_at_once() {
    for code in ["await new Promise(() => {})", "return new Promise(() => {})", "return { then() {} }"] {
        let outcome = run(code, json!({})).await;
        assert!(outcome.is_error && outcome.content.contains("never settles"), "{code}: {outcome:?}");
    }
}

#[tokio::test]
async fn memory_is_bounded() {
    let sandbox = SandboxSettings { time: Duration::from_secs(3), ..SandboxSettings::default() };
    for code in [
        "const a = []; for (;;) a.push({ a })",
        "let s = 'x'; for (;;) s += s",
        "return 'x'.repeat(2 ** 29)",
        "return new ArrayBuffer(2 ** 30).byteLength",
        "return new SharedArrayBuffer(2 ** 28).byteLength",
        "return new ArrayBuffer(8, { maxByteLength: 2 ** 30 }).resize(2 ** 29)",
        "return new Uint8Array(2 ** 28).length",
        "return Array.from({ length: 2 ** 24 }, (_, n) => ({ n })).length",
        "return new Array(2 ** 24).fill(0).length",
        "const m = new Map(); for (let n = 0; ; n++) m.set(n, {})",
        "let a = {}; for (;;) a = { a }",
        "let f = () => 1; for (;;) { const g = f; f = () => g }",
        "const a = []; for (;;) a.push(new Promise(() => {}))",
        "const a = 'x'.repeat(2 ** 20); return Array.from({ length: 100 }, () => a)",
        "return JSON.parse('[' + '[],'.repeat(2 ** 19) + '[]]').length",
        "const a = []; for (;;) { try { for (;;) a.push('x'.repeat(1000) + a.length) } catch (e) { throw e } }",
        "await null; const a = []; for (;;) a.push(new Uint8Array(1000))",
        "const a = []; for (;;) a.push(/a(b)*/)",
        "const a = []; for (;;) a.push((function* () { yield 1 })())",
        "const a = []; for (;;) a.push(new Error('x'))",
        "const a = []; for (;;) a.push(new WeakRef({}), Symbol(), new Proxy({}, {}), new Date())",
        "const f = async () => { await new Promise(() => {}) }; for (;;) f()",
        "for (;;) queueMicrotask(() => {})",
        "const a = []; for (;;) a.push(a.concat(a))",
    ] {
        let started = Instant::now();
        let outcome = scripted(code).with_sandbox(sandbox).call("tool", &json!({}), None).await;
        assert!(outcome.is_error, "{code}: {outcome:?}");
        let told = ["out of memory", "invalid", "exceeded", "too long", "too large"];
        assert!(told.iter().any(|words| outcome.content.contains(words)), "{code}: {outcome:?}");
        assert!(started.elapsed() < Duration::from_secs(15), "{code}");
    }
}

#[tokio::test]
async fn the_stack_is_bounded() {
    for code in [
        "const f = () => f() + 1; return f()",
        "class A { get a() { return this.a } }; return new A().a",
        "return JSON.stringify((function () { let a = []; for (let n = 0; n < 100_000; n++) a = [a]; return a })())",
        "return JSON.parse('['.repeat(100_000) + ']'.repeat(100_000))",
        "let a = []; for (let n = 0; n < 100_000; n++) a = [a]; return a",
        "let a = []; for (let n = 0; n < 100_000; n++) a = [a]; return a.flat(Infinity)",
        "return eval('('.repeat(100_000) + ')'.repeat(100_000))",
        "return new RegExp('('.repeat(100_000) + ')'.repeat(100_000))",
        "const f = async () => { await f() }; await f()",
        "const o = { toString() { return `${o}` } }; return `${o}`",
        "const p = new Proxy({}, { get: (t, k, r) => r[k] }); return p.a",
        "let p = {}; for (let n = 0; n < 50_000; n++) p = new Proxy(p, {}); return p.a",
        "let f = () => 1; for (let n = 0; n < 100_000; n++) f = f.bind(null); return f()",
    ] {
        let outcome = run(code, json!({})).await;
        let told = ["stack overflow", "SyntaxError", "InternalError", "out of memory"];
        assert!(outcome.is_error && told.iter().any(|words| outcome.content.contains(words)), "{code}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_thread_of_the_sandbox_cannot_be_put_to_sleep() {
    let outcome = run("return Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)", json!({})).await;
    assert!(outcome.is_error && outcome.content.starts_with("TypeError"), "{outcome:?}");
}

#[tokio::test]
async fn a_thrown_giant_is_told_in_brief() {
    for code in
        ["throw new Error('x'.repeat(2 ** 20))", "throw 'x'.repeat(2 ** 20)", "throw { a: 'x'.repeat(2 ** 20) }"]
    {
        let outcome = run(code, json!({})).await;
        assert!(outcome.is_error && outcome.content.len() < 2000, "{code}: {}", outcome.content.len());
    }
}

#[tokio::test]
async fn other_work_goes_on_while_many_scripts_burn() {
    let bombs = [
        "for (;;) {}",
        "const a = []; for (;;) a.push({ a })",
        "for (;;) await null",
        "return /^(a+)+$/.test('a'.repeat(40) + 'b')",
        "const f = () => f(); try { f() } catch {} for (;;) {}",
        "try { for (;;) {} } finally { for (;;) {} }",
        "return { toJSON() { for (;;) {} } }",
        "const f = async () => { await null; f() }; f(); await new Promise(() => {})",
    ]
    .map(hasty);
    let arguments = json!({});
    let burning = futures::future::join_all(bombs.iter().map(|bomb| bomb.call("tool", &arguments, None)));
    let mut ticks = 0;
    let ticking = async {
        loop {
            tokio::time::sleep(Duration::from_millis(5)).await;
            ticks += 1;
        }
    };
    let outcomes = tokio::select! { outcomes = burning => outcomes, () = ticking => unreachable!() };
    assert!(outcomes.iter().all(|outcome| outcome.is_error), "{outcomes:?}");
    assert!(ticks >= 10, "{ticks}");
    assert_eq!(run("return 1", json!({})).await, value("1"));
}
