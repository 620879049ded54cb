//! `/docs/`: the API's description as a page to read and try. The viewer's files are within this program.

use std::sync::{Arc, LazyLock};

use axum::body::Body;
use axum::extract::Path;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderValue};
use axum::response::Response;
use utoipa_swagger_ui::{Config, Url};

use super::not_found;
use super::page::is_local;

static CONFIG: LazyLock<Arc<Config<'static>>> = LazyLock::new(|| {
    let described = [Url::with_primary("agents", "/openapi.json", true), Url::new("apps", "/openapi/app.json")];
    Arc::new(Config::new(described))
});

/// The page.
pub(super) async fn page(headers: HeaderMap) -> Response {
    file(Path("index.html".to_owned()), headers).await
}

/// A file of the viewer.
pub(super) async fn file(Path(name): Path<String>, headers: HeaderMap) -> Response {
    let found = utoipa_swagger_ui::serve(&name, Arc::clone(&CONFIG));
    let Some(file) = found.ok().flatten().filter(|_| is_local(&headers)) else { return not_found() };
    let mut response = Response::new(Body::from(file.bytes.into_owned()));
    let headers = response.headers_mut();
    if let Ok(kind) = HeaderValue::try_from(file.content_type) {
        headers.insert(CONTENT_TYPE, kind);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
             connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        ),
    );
    response
}
