//! The pages that a person sees.

use axum::response::{IntoResponse, Response};
use shared::http::StatusCode;

/// Nothing is loaded, framed or sent; the address, with its code, is told to nobody.
const HEADERS: [(&str, &str); 3] = [
    ("content-type", "text/html; charset=utf-8"),
    (
        "content-security-policy",
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    ("referrer-policy", "no-referrer"),
];

/// That the agent answers in the team of this name.
pub(crate) fn connected(team: &str) -> Response {
    let team = if team.is_empty() { "your workspace" } else { team };
    let text = format!(
        "The agent answers in <b>{}</b> now. Mention it in a channel that it was invited to, or write to it directly.",
        escape(team)
    );
    (StatusCode::OK, HEADERS, page("Connected to Slack", &text)).into_response()
}

/// Why there is no connection.
pub(crate) fn failed(status: StatusCode, reason: &str) -> Response {
    (status, HEADERS, page("Not connected to Slack", &escape(reason))).into_response()
}

fn page(title: &str, text: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
         <style>body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 32rem; margin: 15vh auto; padding: 0 1rem; \
         color-scheme: light dark }}</style>\n<main>\n<h1>{title}</h1>\n<p>{text}</p>\n\
         <p>You can close this page.</p>\n</main>\n</html>\n"
    )
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(letter),
        }
    }
    escaped
}
