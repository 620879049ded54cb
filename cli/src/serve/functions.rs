//! The functions that this program serves.

use shared::app::App;
use utoipa_axum::router::OpenApiRouter;

use super::routes::RoutesError;

/// The routes of a function of template.yaml.
///
/// # Errors
/// Where there is no such function.
pub(super) fn function(name: &str) -> Result<OpenApiRouter<App>, RoutesError> {
    Ok(match name {
        "app-execute" => app_execute::routes(),
        "app-execute-stream" => app_execute_stream::routes(),
        "app-sessions" => app_sessions::routes(),
        "app-traces" => app_traces::routes(),
        "app-usage" => app_usage::routes(),
        "app-webhooks" => app_webhooks::routes(),
        "agent-chat" => agent_chat::routes(),
        "agent-webhooks" => agent_webhooks::routes(),
        "chat-completions" => chat_completions::routes(),
        "health" => health::routes(),
        "mcp-keys" => mcp_keys::routes(),
        "mcp-server" => mcp_server::routes(),
        "models" => models::routes(),
        "slack-events" => slack_events::routes(),
        "slack-install" => slack_install::routes(),
        "slack-oauth" => slack_oauth::routes(),
        "telegram-setup" => telegram_setup::routes(),
        "telegram-webhook" => telegram_webhook::routes(),
        "webhook" => webhook::routes(),
        "whatsapp-setup" => whatsapp_setup::routes(),
        "whatsapp-webhook" => whatsapp_webhook::routes(),
        "widget-chat" => widget_chat::routes(),
        "widget-config" => widget_config::routes(),
        "widget-script" => widget_script::routes(),
        other => return Err(RoutesError::NoFunction(other.to_owned())),
    })
}
