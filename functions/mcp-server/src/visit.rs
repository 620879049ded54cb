//! One request from its key to its answer.
//!
//! A call of a tool takes a token of the rate limit. Everything else (the handshake, lists, pings, notifications) takes
//! none: it costs the reads that a refusal costs too, and a client that meets a refusal there connects anew.

use axum::response::Response;
use serde::Serialize;
use serde_json::{Map, Value, json};
use shared::app::App;
use shared::auth::{Caller, Endpoint, Idempotency};
use shared::dialect::mcp::{CallToolResult, RpcCode, RpcError, RpcResponse, progress_frames};
use shared::http::{self, ApiError, Exchange, StatusCode};
use shared::session::Wish;
use shared::turn::{self, TurnInput};

use crate::message::Call;
use crate::tool::{self, ChatArguments, Description, Tool};
use crate::version::{self, Version};
use crate::{FUNCTION, Failure};

/// How long a client may keep what does not change but with a new version of this service, in milliseconds.
const KEPT: u64 = 5 * 60 * 1000;

/// A caller with a key.
pub(crate) struct Visit<'a> {
    app: &'a App,
    /// The request.
    pub(crate) exchange: &'a mut Exchange,
    caller: Caller,
    /// Whether it may call a tool now.
    open: Result<(), ApiError>,
    idempotency: Option<Idempotency>,
}

/// How a call is answered.
pub(crate) enum Reply {
    /// By its result.
    Result(Value),
    /// By events, the last of which is its answer.
    Stream(Response),
    /// Not at all.
    Nothing,
}

/// What tells the caller how far its call is.
enum Delivery {
    /// Nothing does.
    Plain,
    /// Events under this token.
    Progress(Value),
}

#[derive(Serialize)]
struct Implementation {
    name: &'static str,
    version: &'static str,
}

const SERVER: Implementation = Implementation { name: "kopern-mcp", version: "1.0.0" };

#[derive(Serialize)]
struct Capabilities {
    tools: Map<String, Value>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InitializeResult {
    protocol_version: &'static str,
    capabilities: Capabilities,
    server_info: Implementation,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DiscoverResult {
    supported_versions: [&'static str; 5],
    capabilities: Capabilities,
}

#[derive(Serialize)]
struct ListToolsResult {
    tools: Vec<Description>,
}

impl<'a> Visit<'a> {
    /// Checks the key.
    ///
    /// # Errors
    /// Where it opens nothing here.
    pub(crate) async fn begin(app: &'a App, exchange: &'a mut Exchange) -> Result<Self, ApiError> {
        let presented = exchange.presented();
        let idempotency = exchange.idempotency(&[FUNCTION, presented.hash().map_or("", |hash| hash.as_str())])?;
        let caller = check(app, exchange, idempotency.as_ref()).await?;
        let open = exchange.let_in(app.admissions(), &caller.pass);
        Ok(Self { app, exchange, caller, open, idempotency })
    }

    /// Takes a notification in. None changes anything: there is no session, and a call is given up by its connection.
    pub(crate) fn hear(&self, note: &Call) -> Result<Reply, Failure> {
        version::of_note(self.exchange.headers(), note)?;
        Ok(Reply::Nothing)
    }

    /// Answers a call.
    pub(crate) async fn answer(&mut self, call: &Call) -> Result<Reply, Failure> {
        let version = version::of_call(self.exchange.headers(), call)?;
        if call.method != "tools/call" {
            return describe(call, version).map(Reply::Result);
        }
        let accept = self.exchange.header("accept").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let delivery = match call.meta("progressToken") {
            Some(token @ (Value::String(_) | Value::Number(_))) if accept.contains("text/event-stream") => {
                Delivery::Progress(token.clone())
            }
            Some(_) | None => Delivery::Plain,
        };
        self.call_tool(call, version, delivery).await
    }

    /// Whether the request may hold a batch: 2025-03-26 has them, and no version after it.
    pub(crate) fn check_batch(&self) -> Result<(), Failure> {
        let message = if version::of_header(self.exchange.headers())? > Version::V2025_03_26 {
            "Batches belong to the protocol version 2025-03-26."
        } else if self.idempotency.is_some() {
            "An Idempotency-Key names one call, and no batch."
        } else {
            return Ok(());
        };
        Err(Failure::Wrong(StatusCode::BAD_REQUEST, RpcError::new(RpcCode::InvalidRequest, message)))
    }

    /// Answers a call of a batch.
    pub(crate) async fn answer_in_batch(&mut self, call: &Call) -> Result<Value, RpcError> {
        if call.method == "initialize" {
            return Err(RpcError::new(RpcCode::InvalidRequest, "initialize is no part of a batch."));
        }
        let outcome = match version::of_call(self.exchange.headers(), call) {
            Ok(version) if call.method == "tools/call" => {
                let outcome = self.call_tool(call, version, Delivery::Plain).await;
                self.look_again().await;
                outcome
            }
            Ok(version) => describe(call, version).map(Reply::Result),
            Err(failure) => Err(failure),
        };
        match outcome {
            Ok(Reply::Result(result)) => Ok(result),
            Ok(Reply::Stream(_) | Reply::Nothing) => Ok(Value::Null),
            Err(Failure::Wrong(_, error)) => Err(error),
            Err(Failure::Refused(error)) => {
                self.exchange.log(&error);
                Err(RpcError::from(&error))
            }
        }
    }

    /// Reads the caller's bucket and budget again, of which a call before took something.
    async fn look_again(&mut self) {
        match check(self.app, self.exchange, None).await {
            Ok(caller) => {
                self.open = self.exchange.let_in(self.app.admissions(), &caller.pass);
                self.caller = caller;
            }
            Err(error) => self.open = Err(error),
        }
    }

    async fn call_tool(&mut self, call: &Call, version: Version, delivery: Delivery) -> Result<Reply, Failure> {
        let Some(name) = call.params.get("name").and_then(Value::as_str) else {
            return Err(wrong(RpcCode::InvalidParams, "name is a tool's name."));
        };
        let Some(tool) = Tool::named(name) else {
            let shown: String = name.chars().take(100).collect();
            return Err(wrong(RpcCode::InvalidParams, format!("Unknown tool: {shown}")));
        };
        let none = Map::new();
        let arguments = match call.params.get("arguments") {
            None | Some(Value::Null) => &none,
            Some(Value::Object(arguments)) => arguments,
            Some(_) => return Err(wrong(RpcCode::InvalidParams, "arguments is an object.")),
        };
        std::mem::replace(&mut self.open, Ok(()))?;
        match tool {
            Tool::Chat => match ChatArguments::read(arguments) {
                Ok(arguments) => self.chat(call.id.clone(), arguments, version, delivery).await,
                Err(error) => {
                    let message = format!("Invalid arguments\n{}", error.details.join("\n"));
                    Ok(Reply::Result(tool_result(CallToolResult::failure(message), version)))
                }
            },
            Tool::AgentInfo => {
                let rate = self.app.admissions().take(&self.caller.pass).await.map_err(ApiError::from)?;
                self.exchange.set_rate(rate);
                Ok(Reply::Result(tool_result(tool::agent_info(&self.caller.agent), version)))
            }
        }
    }

    async fn chat(
        &mut self,
        id: Value,
        arguments: ChatArguments,
        version: Version,
        delivery: Delivery,
    ) -> Result<Reply, Failure> {
        let (wish, history) = match arguments.session {
            Some(session) => (Wish::Known(session), None),
            None => (Wish::New, arguments.history),
        };
        let admission = self.app.admissions().admit(&self.caller.pass, wish, self.idempotency.as_ref()).await?;
        let input = TurnInput { message: arguments.message, metadata: None, history };
        let (_, events) = self.exchange.begin(self.app.turns(), self.caller.clone(), admission, input)?;
        Ok(match delivery {
            Delivery::Plain => Reply::Result(tool_result(turn::last(events).await.into(), version)),
            Delivery::Progress(token) => {
                let end = move |result| RpcResponse::new(id, Ok(tool_result(result, version)));
                Reply::Stream(http::stream(progress_frames(events, token, end)))
            }
        })
    }
}

async fn check(app: &App, exchange: &Exchange, idempotency: Option<&Idempotency>) -> Result<Caller, ApiError> {
    Ok(exchange.check(Endpoint::McpServer).with_idempotency(idempotency).by(app.gatekeeper()).await?)
}

/// Answers a call that runs nothing.
fn describe(call: &Call, version: Version) -> Result<Value, Failure> {
    let capabilities = Capabilities { tools: Map::new() };
    match (call.method.as_str(), version.has_handshake()) {
        ("initialize", true) => {
            let protocol_version = version.name();
            Ok(result(&InitializeResult { protocol_version, capabilities, server_info: SERVER }, version))
        }
        ("ping", true) => Ok(result(&Map::new(), version)),
        ("server/discover", _) => {
            let found = DiscoverResult { supported_versions: Version::ALL.map(Version::name), capabilities };
            Ok(kept(result(&found, Version::V2026_07_28)))
        }
        ("tools/list", true) => Ok(result(&ListToolsResult { tools: tool::descriptions(version) }, version)),
        ("tools/list", false) => Ok(kept(result(&ListToolsResult { tools: tool::descriptions(version) }, version))),
        _ => {
            let status = if version.has_handshake() { StatusCode::OK } else { StatusCode::NOT_FOUND };
            Err(Failure::Wrong(status, RpcError::new(RpcCode::MethodNotFound, "Method not found")))
        }
    }
}

/// What a tool gave, as this version of the protocol can tell it.
fn tool_result(mut found: CallToolResult, version: Version) -> Value {
    if version < Version::V2025_06_18 {
        found.structured_content = None;
    }
    result(&found, version)
}

/// A result. Where there is no handshake, each one says who gives it, and that it is complete.
fn result(found: &impl Serialize, version: Version) -> Value {
    let mut value = serde_json::to_value(found).unwrap_or_default();
    if let (false, Some(object)) = (version.has_handshake(), value.as_object_mut()) {
        object.insert("resultType".to_owned(), json!("complete"));
        object.insert("_meta".to_owned(), json!({ "io.modelcontextprotocol/serverInfo": SERVER }));
    }
    value
}

/// The result with how long it may be kept: by this caller, since its key opened the door.
fn kept(mut result: Value) -> Value {
    if let Some(object) = result.as_object_mut() {
        object.insert("ttlMs".to_owned(), json!(KEPT));
        object.insert("cacheScope".to_owned(), json!("private"));
    }
    result
}

fn wrong(code: RpcCode, message: impl Into<String>) -> Failure {
    Failure::Wrong(StatusCode::OK, RpcError::new(code, message))
}
