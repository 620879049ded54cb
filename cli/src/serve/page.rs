//! The start page: the agents, lines to paste, and the chat widget. One file that loads nothing but the widget's script.

use axum::body::Body;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, Response};
use serde::Serialize;
use shared::id::RequestId;

const PAGE: &str = include_str!("page.html");

/// What the page knows of an agent.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct PageAgent {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) model: String,
    pub(crate) welcome: String,
    /// The agent's widget key, which is public; `None` where its widget is not enabled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<String>,
}

/// What the page holds.
#[derive(Serialize)]
struct Data<'a> {
    agents: &'a [PageAgent],
    /// What commands need after them to mean this table.
    flag: &'a str,
}

/// Whether the page was asked for by a name of this machine. (A foreign name that points here would let its own pages
/// read this one.)
pub(crate) fn is_local(headers: &HeaderMap) -> bool {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    ["127.0.0.1", "localhost", "[::1]"].iter().any(|local| name.eq_ignore_ascii_case(local))
}

/// The page.
pub(crate) fn response(agents: &[PageAgent], flag: &str) -> Response<Body> {
    let nonce = RequestId::generate().as_str().replace('_', "-");
    // Inside a script element `<` alone could end it.
    let data = serde_json::to_string(&Data { agents, flag }).unwrap_or_default().replace('<', "\\u003c");
    let page = PAGE.replace("%NONCE%", &nonce).replacen("%DATA%", &data, 1);
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src data:; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    let mut response = Response::new(Body::from(page));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    if let Ok(policy) = HeaderValue::try_from(policy) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    if let Ok(id) = HeaderValue::from_str(RequestId::generate().as_str()) {
        headers.insert("x-request-id", id);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_agents_text_cannot_leave_the_data() {
        let agent = PageAgent {
            id: "ag_1".to_owned(),
            name: "a".to_owned(),
            description: "</script><script>alert(1)</script> %NONCE%".to_owned(),
            model: "demo/echo".to_owned(),
            welcome: "Hi".to_owned(),
            key: None,
        };
        let page = axum::body::to_bytes(response(&[agent], "").into_body(), 1_000_000).await.unwrap();
        let page = String::from_utf8(page.to_vec()).unwrap();
        assert!(!page.contains("<script>alert") && page.contains("\\u003c/script>"));
        assert!(page.contains("%NONCE%\""), "what an agent says is not filled in");
        assert_eq!(page.matches("</script>").count(), 3);
    }

    #[test]
    fn only_names_of_this_machine_are_local() {
        let host = |host: &str| HeaderMap::from_iter([(HOST, HeaderValue::from_str(host).unwrap())]);
        for local in ["127.0.0.1:3000", "localhost:3000", "LOCALHOST", "[::1]:3000", "127.0.0.1"] {
            assert!(is_local(&host(local)), "{local}");
        }
        for foreign in ["example.com", "127.0.0.1.example.com:3000", "localhost.example.com", "", "evil:127.0.0.1"] {
            assert!(!is_local(&host(foreign)), "{foreign}");
        }
        assert!(!is_local(&HeaderMap::new()));
    }
}
