//! `GET /api/widget/script`: the chat widget itself, the same for every page. It is built from `../widget`.

use std::sync::LazyLock;

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use shared::app::App;
use shared::dialect::Dialect;
use shared::http::{Cors, Exchange, Request, StatusCode};
use utoipa::OpenApi;

const FUNCTION: &str = "widget-script";
const PATH: &str = "/api/widget/script";

/// The script: `npm run build` in `../widget` writes it.
const SCRIPT: &str = include_str!("widget.js");

/// What tells this script from earlier and later ones; a URL with `?v=` and this names it for good.
pub static VERSION: LazyLock<String> = LazyLock::new(|| format!("{:016x}", fnv1a(SCRIPT.as_bytes())));

/// For a URL that names this version: what it answers never changes.
const FOR_GOOD: &str = "public, max-age=31536000, immutable";
/// For every other URL: a page has a new script within minutes.
const FOR_A_WHILE: &str = "public, max-age=300, stale-while-revalidate=86400";

/// This function's part of the OpenAPI description. Answering a request takes none of it.
#[derive(Debug, OpenApi)]
#[openapi(paths(script))]
pub struct ApiDoc;

/// The routes of this function.
pub fn routes() -> Router<App> {
    Router::new().route(PATH, get(script).fallback(other_method))
}

/// The chat widget, to be named by a page's script tag.
#[utoipa::path(
    get, path = PATH, tag = "widget", operation_id = "getWidgetScript", security(()),
    params(
        ("key" = Option<String>, Query, description = "Read by the script in the page, where the tag has no data-key"),
        ("v" = Option<String>, Query, description = "The version that is wanted, as the ETag names it; it is cached for good"),
    ),
    responses((status = 200, content_type = "text/javascript", body = String), (status = 304)),
)]
async fn script(request: Request) -> Response {
    let named = request.uri().query().is_some_and(names_version);
    let exchange = match Exchange::read(Dialect::Kopern, FUNCTION, Cors::Any, request).await {
        Ok(exchange) => exchange,
        Err(reply) => return reply,
    };
    let etag = format!("\"{}\"", *VERSION);
    let known = exchange.header("if-none-match").and_then(|value| value.to_str().ok());
    let (status, body) = match known {
        Some(known) if names(known, &etag) => (StatusCode::NOT_MODIFIED, Body::empty()),
        _ => (StatusCode::OK, Body::from(SCRIPT)),
    };
    let headers = [
        ("content-type", "text/javascript; charset=utf-8"),
        ("cache-control", if named { FOR_GOOD } else { FOR_A_WHILE }),
        ("cross-origin-resource-policy", "cross-origin"),
        ("etag", etag.as_str()),
    ];
    exchange.reply(Ok((status, headers, body).into_response()))
}

/// Whether a query's `v` is this version.
fn names_version(query: &str) -> bool {
    query.split('&').any(|pair| pair.strip_prefix("v=") == Some(VERSION.as_str()))
}

/// Whether an `If-None-Match` names this tag. <https://www.rfc-editor.org/rfc/rfc9110#section-13.1.2>
fn names(known: &str, etag: &str) -> bool {
    known.split(',').map(str::trim).any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one) == etag)
}

/// FNV-1a with 64 bits. <https://www.rfc-editor.org/rfc/rfc9923>
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

async fn other_method(request: Request) -> Response {
    Exchange::answer_other_method((Dialect::Kopern, FUNCTION, Cors::Any), request, "GET, OPTIONS").await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_published_one() {
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn a_tag_is_found_in_a_list_weak_or_strong() {
        for known in ["\"a\"", "W/\"a\"", "\"b\", \"a\"", "*"] {
            assert!(names(known, "\"a\""), "{known}");
        }
        for known in ["", "a", "\"b\"", "\"a"] {
            assert!(!names(known, "\"a\""), "{known}");
        }
    }
}
