//! The functions that this program serves.

use axum::Router;
use shared::app::App;
use utoipa::openapi::OpenApi;

use super::routes::RoutesError;

/// A function that answers requests.
pub(super) struct Function {
    /// Its routes.
    pub(super) routes: fn() -> Router<App>,
    /// What it says of itself.
    pub(super) openapi: fn() -> OpenApi,
}

impl Function {
    /// A function of template.yaml.
    ///
    /// # Errors
    /// Where there is no such function.
    pub(super) fn named(name: &str) -> Result<Self, RoutesError> {
        Ok(match name {
            "app-execute" => described::<app_execute::ApiDoc>(app_execute::routes),
            "app-execute-stream" => described::<app_execute_stream::ApiDoc>(app_execute_stream::routes),
            "app-sessions" => described::<app_sessions::ApiDoc>(app_sessions::routes),
            "app-traces" => described::<app_traces::ApiDoc>(app_traces::routes),
            "app-usage" => described::<app_usage::ApiDoc>(app_usage::routes),
            "app-webhooks" => described::<app_webhooks::ApiDoc>(app_webhooks::routes),
            "agent-chat" => described::<agent_chat::ApiDoc>(agent_chat::routes),
            "agent-webhooks" => described::<agent_webhooks::ApiDoc>(agent_webhooks::routes),
            "chat-completions" => described::<chat_completions::ApiDoc>(chat_completions::routes),
            "health" => described::<health::ApiDoc>(health::routes),
            "mcp-keys" => described::<mcp_keys::ApiDoc>(mcp_keys::routes),
            "mcp-server" => described::<mcp_server::ApiDoc>(mcp_server::routes),
            "models" => described::<models::ApiDoc>(models::routes),
            "slack-events" => undescribed(slack_events::routes),
            "slack-install" => described::<slack_install::ApiDoc>(slack_install::routes),
            "slack-oauth" => undescribed(slack_oauth::routes),
            "telegram-setup" => described::<telegram_setup::ApiDoc>(telegram_setup::routes),
            "telegram-webhook" => described::<telegram_webhook::ApiDoc>(telegram_webhook::routes),
            "webhook" => described::<webhook::ApiDoc>(webhook::routes),
            "whatsapp-setup" => described::<whatsapp_setup::ApiDoc>(whatsapp_setup::routes),
            "whatsapp-webhook" => described::<whatsapp_webhook::ApiDoc>(whatsapp_webhook::routes),
            "widget-chat" => described::<widget_chat::ApiDoc>(widget_chat::routes),
            "widget-config" => described::<widget_config::ApiDoc>(widget_config::routes),
            "widget-script" => described::<widget_script::ApiDoc>(widget_script::routes),
            other => return Err(RoutesError::NoFunction(other.to_owned())),
        })
    }
}

fn described<Doc: utoipa::OpenApi>(routes: fn() -> Router<App>) -> Function {
    Function { routes, openapi: Doc::openapi }
}

/// One whose endpoints only Slack calls, as Slack documents them.
fn undescribed(routes: fn() -> Router<App>) -> Function {
    Function { routes, openapi: OpenApi::default }
}
