//! What can be said on the command line.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use shared::queue::QUEUES;
use url::Url;

use crate::serve::openapi::Description;

const EXAMPLES: &str = "\
Examples:
  orrery                                      serve ./agents on http://127.0.0.1:3000
  orrery serve --port 0 --data :memory:       serve on any free port and keep nothing
  orrery apply agents/ --dry-run              show what would change
  orrery key create --agent support           make a key; it is shown once
  orrery key create --agent support --quiet --table orrery --region eu-central-1

Exit codes: 0 done, 1 failed, 2 wrong usage or an agent's document with problems.";

/// AI agents as an HTTP API: on this machine, and the tool that puts agents and keys into a table.
#[derive(Debug, Parser)]
#[command(name = "orrery", version, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) serve: ServeArguments,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve the API on this machine (what `orrery` alone does)
    Serve(ServeArguments),
    /// Store agents' documents: all are checked first, and those that did not change are left alone
    Apply(ApplyArguments),
    /// List, show and delete agents
    #[command(subcommand)]
    Agent(AgentCommand),
    /// List, show and delete projects, each an app
    #[command(subcommand)]
    Project(ProjectCommand),
    /// Make, list, rotate and revoke keys
    #[command(subcommand)]
    Key(KeyCommand),
    /// Show a tenant, set its plan, or give it to a user
    #[command(subcommand)]
    Tenant(TenantCommand),
    /// Make an ID token for this machine's API of keys (/api/mcp/keys)
    Token(TokenArguments),
    /// Make, list and delete inbound webhooks, whose senders sign what they send
    #[command(subcommand)]
    Webhook(WebhookCommand),
    /// List, replay and purge dead letters: messages that were worked on too often in vain
    #[command(subcommand)]
    Queue(QueueCommand),
    /// Rotate the key that seals tokens and webhooks' secrets
    #[command(subcommand)]
    Secret(SecretCommand),
    /// Look at connections, webhooks and queues, and say what is wrong and what to do about it
    Doctor(DoctorArguments),
    /// Print the API's description, an OpenAPI document
    Openapi(OpenapiArguments),
}

#[derive(Debug, Args)]
pub(crate) struct OpenapiArguments {
    /// The part of the API
    #[arg(value_enum, default_value_t = Description::Kopern)]
    pub(crate) described: Description,
}

#[derive(Debug, Args)]
pub(crate) struct ServeArguments {
    /// The port on 127.0.0.1; 0 takes any free one
    #[arg(long, default_value_t = 3000)]
    pub(crate) port: u16,
    /// The directory that keeps the table, or :memory: to keep nothing
    #[arg(long, value_name = "DIR", default_value = ".orrery")]
    pub(crate) data: PathBuf,
    /// The directory of agents' documents (*.md), applied at the start [default: agents, where it exists]
    #[arg(long, value_name = "DIR")]
    pub(crate) agents: Option<PathBuf>,
}

/// Which table is meant.
#[derive(Debug, Args)]
pub(crate) struct PlaceArguments {
    /// The directory that keeps this machine's table
    #[arg(long, value_name = "DIR", default_value = ".orrery", conflicts_with = "table")]
    pub(crate) data: PathBuf,
    /// A table on AWS, by its name, with the credentials that the AWS tools use
    #[arg(long, value_name = "NAME")]
    pub(crate) table: Option<String>,
    /// The AWS region, where it is not the one configured
    #[arg(long, requires = "table")]
    pub(crate) region: Option<String>,
    /// Another endpoint of DynamoDB
    #[arg(long, value_name = "URL", requires = "table")]
    pub(crate) endpoint_url: Option<String>,
}

/// Which table is meant, and whose part of it.
#[derive(Debug, Args)]
pub(crate) struct TableArguments {
    #[command(flatten)]
    pub(crate) place: PlaceArguments,
    /// A user's own part of the table, by the subject of their ID tokens [default: the deployment's own]
    #[arg(long, value_name = "SUBJECT")]
    pub(crate) owner: Option<String>,
    /// Who issues the user's ID tokens [default: ORRERY_OIDC_ISSUER; here, `orrery token`]
    #[arg(long, value_name = "URL")]
    pub(crate) issuer: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TenantCommand {
    /// Show the tenant and its plan
    Show(TenantArguments),
    /// Set the tenant's plan
    Plan(TenantPlanArguments),
    /// Make a user the tenant's owner: what was theirs before stays in the table, and is theirs no more
    Grant(TenantGrantArguments),
}

#[derive(Debug, Args)]
pub(crate) struct TenantArguments {
    #[command(flatten)]
    pub(crate) table: TableArguments,
    #[command(flatten)]
    pub(crate) output: OutputArguments,
}

#[derive(Debug, Args)]
pub(crate) struct TenantPlanArguments {
    /// free, pro or enterprise
    #[arg(value_name = "PLAN")]
    pub(crate) plan: String,
    /// Requests a minute of each app, where they are to differ from the plan's
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) requests_per_minute: Option<u32>,
    /// Requests a day of each app, where they are to differ from the plan's
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) requests_per_day: Option<u32>,
    #[command(flatten)]
    pub(crate) table: TableArguments,
    #[command(flatten)]
    pub(crate) output: OutputArguments,
}

#[derive(Debug, Args)]
pub(crate) struct TenantGrantArguments {
    /// The subject of the user's ID tokens
    #[arg(value_name = "SUBJECT")]
    pub(crate) subject: String,
    #[command(flatten)]
    pub(crate) table: TableArguments,
    #[command(flatten)]
    pub(crate) output: OutputArguments,
}

#[derive(Debug, Args)]
pub(crate) struct TokenArguments {
    /// Whom it names: `owner` owns this machine's agents, and everybody else a tenant of their own
    #[arg(long, value_name = "NAME", default_value = crate::issuer::OWNER)]
    pub(crate) subject: String,
    /// When it stops to hold: 1h, 30m, 7d, or a time like 2030-01-31T00:00:00Z; at most 30d
    #[arg(long, value_name = "WHEN", default_value = "1h")]
    pub(crate) expires: String,
    /// The directory that keeps this machine's table
    #[arg(long, value_name = "DIR", default_value = ".orrery")]
    pub(crate) data: PathBuf,
    #[command(flatten)]
    pub(crate) output: OutputArguments,
}

/// How the result is told.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct OutputArguments {
    /// Print the data as JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Print the essential value alone: the key, the id
    #[arg(long, short, conflicts_with = "json")]
    pub(crate) quiet: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ApplyArguments {
    /// Documents, or directories of them (*.md); one with a project.md is a project
    #[arg(required = true, value_name = "FILE|DIR")]
    pub(crate) paths: Vec<PathBuf>,
    /// Show the differences and store nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) table: TableArguments,
    #[command(flatten)]
    pub(crate) output: OutputArguments,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AgentCommand {
    /// List the agents
    List(ListArguments),
    /// Show an agent's document as it is stored
    Show(AgentArguments),
    /// Delete an agent; its keys open nothing any more
    Delete(AgentArguments),
}

#[derive(Debug, Args)]
pub(crate) struct ListArguments {
    #[command(flatten)]
    pub(crate) table: TableArguments,
    #[command(flatten)]
    pub(crate) output: OutputArguments,
}

#[derive(Debug, Args)]
pub(crate) struct AgentArguments {
    /// The agent's name or id
    #[arg(value_name = "AGENT")]
    pub(crate) agent: String,
    #[command(flatten)]
    pub(crate) table: TableArguments,
    #[command(flatten)]
    pub(crate) output: OutputArguments,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ProjectCommand {
    /// List the projects
    List(ListArguments),
    /// Show a project's document as it is stored
    Show(ProjectArguments),
    /// Delete a project; its keys open nothing any more, and its agents stay
    Delete(ProjectArguments),
}

#[derive(Debug, Args)]
pub(crate) struct ProjectArguments {
    /// The project's name, or its app's id (app_…)
    #[arg(value_name = "PROJECT")]
    pub(crate) project: String,
    #[command(flatten)]
    pub(crate) table: TableArguments,
    #[command(flatten)]
    pub(crate) output: OutputArguments,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Make a key; it is shown once and cannot be read again
    Create(KeyCreateArguments),
    /// List keys, without telling them
    List(KeyListArguments),
    /// Put a new key in the place of one; the old one stops to work at once
    Rotate(KeyArguments),
    /// Make a key stop to work
    Revoke(KeyArguments),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// For servers: the OpenAI-compatible endpoint, the webhook and the MCP server. Secret
    Server,
    /// For web pages: the chat widget only. Public by nature
    Widget,
}

#[derive(Debug, Args)]
pub(crate) struct KeyCreateArguments {
    /// The agent that it opens, by name or id
    #[arg(long, value_name = "AGENT", required_unless_present = "app")]
    pub(crate) agent: Option<String>,
    /// The app that it opens instead, by its project's name or its id: /v1/apps, and nothing else
    #[arg(long, value_name = "PROJECT", conflicts_with_all = ["agent", "kind"])]
    pub(crate) app: Option<String>,
    /// What it may be used on
    #[arg(long, value_enum, default_value_t = Kind::Server)]
    pub(crate) kind: Kind,
    /// A name, to tell keys apart
    #[arg(long, default_value = "")]
    pub(crate) name: String,
    /// When it stops to work: 30d, 24h, 90m, or a time like 2030-01-31T00:00:00Z [default: never]
    #[arg(long, value_name = "WHEN")]
    pub(crate) expires: Option<String>,
    /// An origin from which a widget key works, for example https://example.com; may be repeated [default: all]
    #[arg(long = "origin", value_name = "ORIGIN")]
    pub(crate) origins: Vec<String>,
    #[command(flatten)]
    pub(crate) table: TableArguments,
    #[command(flatten)]
    pub(crate) output: OutputArguments,
}

#[derive(Debug, Args)]
pub(crate) struct KeyListArguments {
    /// The agent whose keys are listed, by name or id [default: all agents and apps]
    #[arg(long, value_name = "AGENT")]
    pub(crate) agent: Option<String>,
    /// The app whose keys are listed, by its project's name or its id
    #[arg(long, value_name = "PROJECT", conflicts_with = "agent")]
    pub(crate) app: Option<String>,
    #[command(flatten)]
    pub(crate) table: TableArguments,
    #[command(flatten)]
    pub(crate) output: OutputArguments,
}

#[derive(Debug, Args)]
pub(crate) struct KeyArguments {
    /// The key's id, as `key list` tells it (key_…)
    #[arg(value_name = "KEY_ID")]
    pub(crate) key: String,
    #[command(flatten)]
    pub(crate) table: TableArguments,
    #[command(flatten)]
    pub(crate) output: OutputArguments,
}

#[derive(Debug, Subcommand)]
pub(crate) enum WebhookCommand {
    /// Make an inbound webhook with a secret that its sender signs with
    Create(WebhookCreateArguments),
    /// List an agent's inbound webhooks
    List(WebhookListArguments),
    /// Delete an inbound webhook
    Delete(WebhookDeleteArguments),
}

#[derive(Debug, Args)]
#[command(
    after_help = "The secret is sealed before it is stored. With --table, ORRERY_SECRET names the deployment's secret that \
                        holds the sealing keys."
)]
pub(crate) struct WebhookCreateArguments {
    /// The agent that it calls, by name or id
    #[arg(long, value_name = "AGENT")]
    pub(crate) agent: String,
    /// A name, to tell webhooks apart
    #[arg(long, default_value = "")]
    pub(crate) name: String,
    /// The secret that signs, 8 to 200 characters [default: a new one, shown once]
    #[arg(long)]
    pub(crate) secret: Option<String>,
    #[command(flatten)]
    pub(crate) table: TableArguments,
    #[command(flatten)]
    pub(crate) output: OutputArguments,
}

#[derive(Debug, Args)]
pub(crate) struct WebhookListArguments {
    /// The agent, by name or id
    #[arg(long, value_name = "AGENT")]
    pub(crate) agent: String,
    #[command(flatten)]
    pub(crate) table: TableArguments,
    #[command(flatten)]
    pub(crate) output: OutputArguments,
}

#[derive(Debug, Args)]
pub(crate) struct WebhookDeleteArguments {
    /// The webhook's id (wh_…)
    #[arg(value_name = "WEBHOOK_ID")]
    pub(crate) webhook: String,
    /// The agent, by name or id
    #[arg(long, value_name = "AGENT")]
    pub(crate) agent: String,
    #[command(flatten)]
    pub(crate) table: TableArguments,
    #[command(flatten)]
    pub(crate) output: OutputArguments,
}

#[derive(Debug, Subcommand)]
pub(crate) enum QueueCommand {
    /// List dead letters: when, for whom, how long, but not what they say
    List(QueueArguments),
    /// Send dead letters to their queue again, in their order, to be worked on anew
    Replay(QueueArguments),
    /// Throw dead letters away
    Purge(QueuePurgeArguments),
}

#[derive(Debug, Args)]
#[command(
    after_help = "With --table, the URLs are among the outputs of the stack, like ChannelsDeadQueueUrl and ChannelsQueueUrl. SQS \
                  lists the first ten letters of a conversation."
)]
pub(crate) struct QueueArguments {
    /// The queue that they are of [default: all of this machine; with --table, the URLs tell]
    #[arg(value_name = "QUEUE", value_parser = PossibleValuesParser::new(QUEUES))]
    pub(crate) queue: Option<String>,
    /// The queue of dead letters on AWS
    #[arg(long, value_name = "URL", requires = "table")]
    pub(crate) dead_queue_url: Option<String>,
    /// The queue on AWS that they are sent to again
    #[arg(long, value_name = "URL", requires = "dead_queue_url")]
    pub(crate) queue_url: Option<String>,
    #[command(flatten)]
    pub(crate) place: PlaceArguments,
    #[command(flatten)]
    pub(crate) output: OutputArguments,
}

#[derive(Debug, Args)]
pub(crate) struct QueuePurgeArguments {
    /// They are to be gone for good
    #[arg(long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) letters: QueueArguments,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SecretCommand {
    /// Put a new sealing key in front of the others, and seal everything in the table under it
    Rotate(SecretRotateArguments),
}

#[derive(Debug, Args)]
#[command(
    after_help = "What runs goes on, and need not be restarted. With --table, ORRERY_SECRET names the deployment's secret; the \
                  command takes a little over ORRERY_SECRET_TTL_SECONDS (300), until all functions know the new key. One \
                  that breaks off is made whole by another. Retire old keys no sooner than an hour after a rotation."
)]
pub(crate) struct SecretRotateArguments {
    /// Make no new key: seal under the newest what is not, and take the others out
    #[arg(long)]
    pub(crate) retire: bool,
    /// Tell what would be done, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) place: PlaceArguments,
    #[command(flatten)]
    pub(crate) output: OutputArguments,
}

/// What the doctor looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Slack teams: token, scopes, the app's settings and its door
    Slack,
    /// Telegram bots: token and webhook
    Telegram,
    /// WhatsApp numbers: token, account, webhook, app secret and the door
    Whatsapp,
    /// Webhooks: those switched off, out of reach or failing
    Webhooks,
    /// Queues: dead letters, and what waits too long
    Queues,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Nothing is changed, and no secret is told. Run it with the settings of `orrery serve`; with --table, ORRERY_SECRET \
                  names the deployment's secret. Exit code 1 says that something is wrong."
)]
pub(crate) struct DoctorArguments {
    /// What is looked at [default: all of it]
    #[arg(value_enum, value_name = "PART")]
    pub(crate) part: Option<Part>,
    /// One agent's connections and webhooks alone, by its name or id
    #[arg(long, value_name = "AGENT")]
    pub(crate) agent: Option<String>,
    /// Where platforms reach the deployment, without /api/… [default: ORRERY_PUBLIC_URL]
    #[arg(long, value_name = "URL")]
    pub(crate) public_url: Option<Url>,
    /// Print the findings as JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) table: TableArguments,
}
