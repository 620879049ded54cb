use serde_json::{Value, json};

use super::{run, value};

#[tokio::test]
async fn the_value_is_what_is_returned_or_given_to_result() {
    for (code, expected) in [
        ("return 'as it is'", "as it is"),
        ("return { order: args.order, list: [1, null] }", r#"{"order":"A-1","list":[1,null]}"#),
        ("return 5", "5"),
        ("return true", "true"),
        ("return ''", ""),
        ("return", "null"),
        ("", "null"),
        ("// nothing", "null"),
        ("return null", "null"),
        ("return () => 1", "null"),
        ("return NaN", "null"),
        ("result = args.order", "A-1"),
        ("result = { a: 1 };", r#"{"a":1}"#),
        ("result = 'given'; return 'returned'", "given"),
        ("result = null", "null"),
        ("const result = 3; return result + 1", "4"),
        ("return await Promise.all([1, Promise.resolve(2)])", "[1,2]"),
        ("const double = async (n) => { await null; return n * 2 }; return double(21)", "42"),
        ("await null; result = 'later'", "later"),
        ("return new Promise((resolve) => queueMicrotask(() => resolve('micro')))", "micro"),
        ("return { toJSON() { return 'own' } }", r#""own""#),
        ("return new Date(0)", r#""1970-01-01T00:00:00.000Z""#),
        ("console.log('a', 1); console.info(); console.warn(); console.error(); console.debug(); return 1", "1"),
        ("return [...'aé😀'].length", "3"),
        ("return 'é😀'", "é😀"),
        ("return '\\ud800x'", "\u{fffd}x"),
        ("return ['\\ud800']", r#"["\ud800"]"#),
        ("return typeof this + typeof args", "objectobject"),
    ] {
        assert_eq!(run(code, json!({ "order": "A-1" })).await, value(expected), "{code}");
    }
}

#[tokio::test]
async fn arguments_arrive_as_they_were_sent() {
    let args = json!({ "text": "a\"\\\n\u{2028}é😀\u{0}", "number": -1.5e300, "list": [[], {}, null, true], "__proto__": { "x": 1 } });
    let outcome = run("return args", args.clone()).await;
    assert_eq!(serde_json::from_str::<Value>(&outcome.content).unwrap(), args);
    assert_eq!(run("return typeof args.x", args).await, value("undefined"));
}

#[tokio::test]
async fn what_is_thrown_is_told_with_its_line() {
    for (code, expected) in [
        ("throw new Error('no such order')", "Error: no such order (line 1)"),
        ("const a = 1;\nreturn args.missing.field", "TypeError: cannot read property 'field' of undefined (line 2)"),
        ("\n\nawait null;\nunknown()", "ReferenceError: unknown is not defined (line 4)"),
        ("throw 'just text'", "just text"),
        ("throw { code: 5 }", r#"{"code":5}"#),
        ("throw undefined", "undefined"),
        ("throw null", "out of memory, or the code threw null"),
        ("throw Symbol('s')", "symbol"),
        ("await Promise.reject(new RangeError('far'))", "RangeError: far (line 1)"),
        ("return { toJSON() { throw new Error('in toJSON') } }", "Error: in toJSON (line 1)"),
        ("return 10n", "TypeError: "),
        ("const a = {}; a.a = a; return a", "TypeError: circular reference"),
    ] {
        let outcome = run(code, json!({})).await;
        assert!(outcome.is_error && outcome.content.starts_with(expected), "{code}: {outcome:?}");
    }
}

#[tokio::test]
async fn code_that_does_not_parse_is_told_with_its_line() {
    for (code, line) in
        [("const a = 1;\nconst a = 2;", 2), ("return (", 1), ("}", 1), ("\nlet x = ;", 2), ("import('fs", 1)]
    {
        let outcome = run(code, json!({})).await;
        let told = format!("(line {line})");
        assert!(
            outcome.is_error && outcome.content.starts_with("SyntaxError: ") && outcome.content.ends_with(&told),
            "{code}: {outcome:?}"
        );
    }
}

#[tokio::test]
async fn nothing_outside_the_language_is_within_reach() {
    let names = [
        "process",
        "require",
        "module",
        "global",
        "fetch",
        "XMLHttpRequest",
        "WebSocket",
        "setTimeout",
        "setInterval",
        "std",
        "os",
        "bjs",
        "Deno",
        "Bun",
        "WebAssembly",
        "print",
        "load",
        "scriptArgs",
        "navigator",
        "gc",
        "Worker",
    ];
    for reach in [
        "(0, eval)(NAME)",
        "Function('return ' + NAME)()",
        "(async () => {}).constructor('return ' + NAME)()",
        "(function* () {}).constructor('yield ' + NAME)().next().value",
        "console.log.constructor('return ' + NAME)()",
        "args.constructor.constructor('return ' + NAME)()",
        "globalThis[NAME]",
    ] {
        for name in names {
            let code = format!(
                "const NAME = {name:?}; let found; try {{ found = await {reach} }} catch (e) {{}}; return typeof found"
            );
            assert_eq!(run(&code, json!({})).await, value("undefined"), "{reach} {name}");
        }
    }
    for module in ["fs", "std", "os", "qjs:std", "qjs:os", "/etc/passwd", "./tool.js"] {
        let outcome = run(&format!("return Object.keys(await import({module:?}))"), json!({})).await;
        assert!(outcome.is_error, "{module}: {outcome:?}");
    }
}

#[tokio::test]
async fn what_a_call_changes_does_not_reach_the_next() {
    let spoil = "Object.prototype.polluted = 1; Array.prototype.map = null; globalThis.kept = 1; args = 2;
        JSON.stringify = () => 'spoilt'; String.prototype.slice = () => 'spoilt'; Promise.prototype.then = null;
        String.prototype.toWellFormed = null; Reflect.apply = null; Error.prototype.name = 'Spoilt'; return { a: 1 }";
    let spoilt = run(spoil, json!({})).await;
    assert_eq!(spoilt, value(r#"{"a":1}"#), "the functions that read the value are kept apart");
    let look = "return [typeof ({}).polluted, typeof [].map, typeof kept, typeof args, JSON.stringify(1), new Error('x').name]";
    assert_eq!(run(look, json!({})).await, value(r#"["undefined","function","undefined","object","1","Error"]"#));
}

#[tokio::test]
async fn code_that_closes_its_function_stays_in_the_sandbox() {
    for code in [
        "}); globalThis.a = 1; (function () { return 'out'",
        "}), (() => { return typeof process",
        "}); Promise.resolve('x'); ({",
        "}); 5; ({",
        "}/*",
        "`${",
    ] {
        let outcome = run(code, json!({})).await;
        assert!(outcome.is_error || ["out", "undefined"].contains(&outcome.content.as_str()), "{code}: {outcome:?}");
    }
}
