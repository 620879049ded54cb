//! The sandbox for tools written in JavaScript: QuickJS, a fresh runtime for each call.
//!
//! The code is the body of an asynchronous function. It reads `args`; its value is what it gives the global `result`,
//! or else what it returns: a string as it is, anything else as JSON, nothing as `null`. It has the language and a
//! silent `console`: no files, no network, no timers, no modules. Memory, stack and time are bounded, and one check
//! ends its loops, its regular expressions, its getters and its chains of promises alike.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rquickjs::context::EvalOptions;
use rquickjs::promise::PromiseState;
use rquickjs::{Array, Context, Ctx, Error, Function, Object, Promise, Runtime, Value};

use super::worker::Stop;

const PRELUDE: &str = include_str!("prelude.js");

/// The name of the code in stacks.
const FILE: &str = "tool.js";

/// The stack of the thread that runs a script, in bytes: room for [`SandboxSettings::stack_bytes`] and what is below.
pub(super) const THREAD_STACK: usize = 4 << 20;

/// The bounds of one script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SandboxSettings {
    /// The wall clock, awaiting included.
    pub time: Duration,
    /// The heap, in bytes.
    pub memory_bytes: usize,
    /// The stack, in bytes; at most 2 MiB.
    pub stack_bytes: usize,
}

impl Default for SandboxSettings {
    fn default() -> Self {
        Self { time: Duration::from_secs(5), memory_bytes: 16 << 20, stack_bytes: 1 << 20 }
    }
}

/// A script with its input.
#[derive(Debug)]
pub(super) struct Script {
    /// The body of the function.
    pub(super) code: String,
    /// `args`, as JSON.
    pub(super) arguments: String,
    /// How much of the value is taken out of the sandbox, in UTF-16 units.
    pub(super) max_units: usize,
}

/// The value of a script as text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Rendered {
    /// The text, or its beginning.
    pub(super) text: String,
    /// The length of all of it, in UTF-16 units.
    pub(super) units: usize,
}

/// A script that gave no value.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum ScriptError {
    /// It was stopped at the end of its time.
    #[error("the code ran out of time")]
    Time,
    /// It asked for more memory than it may have.
    #[error("out of memory")]
    Memory,
    /// It threw null, as the engine does where there is no memory left for an error.
    #[error("out of memory, or the code threw null")]
    Null,
    /// It called too deep.
    #[error("stack overflow: the code calls itself too deep")]
    Stack,
    /// It awaits something that nothing can bring about any more.
    #[error("the code awaits a promise that never settles")]
    Unsettled,
    /// It threw.
    #[error("{0}")]
    Thrown(String),
    /// It could not be run.
    #[error("the code could not be run: {0}")]
    Engine(String),
}

/// Runs a script on this thread to its end.
pub(super) fn run(script: Script, settings: SandboxSettings, stop: &Stop) -> Result<Rendered, ScriptError> {
    let engine = |error: Error| ScriptError::Engine(error.to_string());
    let runtime = Runtime::new().map_err(engine)?;
    runtime.set_memory_limit(settings.memory_bytes);
    runtime.set_max_stack_size(settings.stack_bytes.min(THREAD_STACK / 2));
    let interrupted = Arc::new(AtomicBool::new(false));
    runtime.set_interrupt_handler(Some(Box::new({
        let (stop, interrupted) = (stop.clone(), Arc::clone(&interrupted));
        move || {
            let due = stop.is_due();
            interrupted.fetch_or(due, Ordering::Relaxed);
            due
        }
    })));
    let context = Context::full(&runtime).map_err(engine)?;
    context.with(|ctx| {
        let prelude: Object<'_> = ctx.eval(PRELUDE).map_err(engine)?;
        let lines = script.code.lines().count().max(1);
        evaluate(&ctx, &prelude, script, stop).map_err(|failure| {
            let error = match failure {
                Failure::Known(error) => error,
                Failure::Engine(error) => explain(&ctx, &prelude, lines, error),
            };
            if interrupted.load(Ordering::Relaxed) { ScriptError::Time } else { error }
        })
    })
}

/// How a script failed, before what it threw is read.
enum Failure {
    Known(ScriptError),
    Engine(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Engine(error)
    }
}

fn evaluate<'js>(ctx: &Ctx<'js>, prelude: &Object<'js>, script: Script, stop: &Stop) -> Result<Rendered, Failure> {
    let render: Function<'js> = prelude.get("render")?;
    ctx.globals().set("args", ctx.json_parse(script.arguments)?)?;
    let mut options = EvalOptions::default();
    options.strict = false;
    options.filename = Some(FILE.to_owned());
    let source = format!("(async function () {{{}\n}})", script.code);
    let body: Function<'js> = ctx.eval_with_options(source, options)?;
    let returned: Value<'js> = body.call(())?;
    let returned = match returned.clone().into_promise() {
        Some(promise) => settle(ctx, &promise, stop)?,
        None => returned,
    };
    let rendered: Array<'js> = render.call((returned, script.max_units))?;
    let units: f64 = rendered.get(0)?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a length that fits the sandbox's heap"
    )]
    let units = units as usize;
    Ok(Rendered { text: rendered.get(1)?, units })
}

/// Runs the sandbox's jobs until the promise has its value.
fn settle<'js>(ctx: &Ctx<'js>, promise: &Promise<'js>, stop: &Stop) -> Result<Value<'js>, Failure> {
    while promise.state() == PromiseState::Pending {
        if stop.is_due() {
            return Err(Failure::Known(ScriptError::Time));
        }
        if !ctx.execute_pending_job() {
            return Err(Failure::Known(ScriptError::Unsettled));
        }
    }
    Ok(promise.result().ok_or(Failure::Known(ScriptError::Unsettled))??)
}

/// The words for what was thrown: the error's name and message, and the line of the code, which has `lines`.
fn explain<'js>(ctx: &Ctx<'js>, prelude: &Object<'js>, lines: usize, error: Error) -> ScriptError {
    match error {
        Error::Exception => {}
        Error::Allocation => return ScriptError::Memory,
        other => return ScriptError::Engine(other.to_string()),
    }
    let thrown = ctx.catch();
    if thrown.is_null() {
        return ScriptError::Null;
    }
    let described = || -> rquickjs::Result<(String, String)> {
        let described: Array<'js> = prelude.get::<_, Function<'js>>("describe")?.call((thrown,))?;
        Ok((described.get(0)?, described.get(1)?))
    };
    let Ok((message, stack)) = described() else {
        ctx.catch();
        return ScriptError::Thrown("the code threw a value that cannot be shown".to_owned());
    };
    if message.contains("Maximum call stack size exceeded") {
        ScriptError::Stack
    } else if message == "InternalError: out of memory" {
        ScriptError::Memory
    } else {
        ScriptError::Thrown(match line(&stack) {
            Some(line) => format!("{message} (line {})", line.min(lines)),
            None => message,
        })
    }
}

/// The line of the tool's code that a stack names first.
fn line(stack: &str) -> Option<usize> {
    let (_, place) = stack.split_once("tool.js:")?;
    place.split(|character: char| !character.is_ascii_digit()).next()?.parse().ok()
}
