//! What two or more of Orrery's functions need. From the door inwards: a layer uses those below it, never one above.

/// Runs routes on the Lambda runtime.
pub mod lambda;

/// What a handler may use.
pub mod app;

/// Answers for apps, and ends their sessions.
pub mod project;

/// Lets a request in: rate token, idempotency claim and session at once.
pub mod admission;

/// Reads requests, writes replies.
pub mod http;

/// Renders errors, rate limits and a turn's events in each dialect's words.
pub mod dialect;

/// Says who calls, and what they may do.
pub mod auth;

/// Says how much a caller may do.
pub mod limit;

/// Answers people on Slack, Telegram and WhatsApp.
pub mod channel;

/// Runs one message through model and tools.
pub mod turn;

/// Tells the receivers that an agent's owner named what happens in the dashboard's chat.
pub mod webhook;

/// Calls what a model can call.
pub mod tool;

/// Talks to language models.
pub mod model;

/// Keeps conversations.
pub mod session;

/// Reads agents.
pub mod agent;

/// Keeps everything in one table.
pub mod store;

/// Hands work on.
pub mod queue;

/// Keeps secrets.
pub mod secret;

/// Reaches addresses that users name, and no private ones.
pub mod egress;

/// Calls DynamoDB, SQS and Secrets Manager.
pub mod aws;

/// Reaches services that the operator chose.
pub mod outbound;

/// Reads the settings.
pub mod config;

/// Names things.
pub mod id;

/// Tells the time.
pub mod clock;

/// Writes logs.
pub mod telemetry;
