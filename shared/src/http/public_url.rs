//! Where platforms reach this deployment.

use http::header;
use http::request::Parts;
use lambda_http::request::RequestContext;
use url::Url;

/// A path of this deployment: below the address that is configured, or below the one at which the request came in, with
/// what API Gateway takes off its path (a stage, or a custom domain's base).
pub(super) fn of(parts: &Parts, configured: Option<&Url>, path: &str) -> Option<Url> {
    if let Some(base) = configured {
        return Some(below(base, path));
    }
    let text = |name| parts.headers.get(name).and_then(|value: &header::HeaderValue| value.to_str().ok());
    let scheme = match text("x-forwarded-proto") {
        Some("https") => "https",
        _ => "http",
    };
    let host =
        text(header::HOST.as_str()).filter(|host| !host.is_empty() && !host.contains(['/', '@', '?', '#', '\\']))?;
    let url = Url::parse(&format!("{scheme}://{host}{}{path}", taken_off(parts).unwrap_or_default())).ok()?;
    url.has_host().then_some(url)
}

/// A path below the address at which platforms reach the deployment.
#[must_use]
pub fn below(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}{path}", base.path().trim_end_matches('/')));
    url
}

/// What stands before the path outside.
fn taken_off(parts: &Parts) -> Option<&str> {
    match parts.extensions.get::<RequestContext>()? {
        RequestContext::ApiGatewayV1(context) => context.path.as_deref()?.strip_suffix(parts.uri.path()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn seen(headers: &[(&str, &str)], outside: Option<&str>, configured: Option<&str>) -> Option<String> {
        let mut request = Request::builder().uri("/api/telegram/setup");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        if let Some(path) = outside {
            let json = format!(r#"{{"path":"{path}","httpMethod":"POST","requestTimeEpoch":0,"identity":{{}}}}"#);
            parts.extensions.insert(RequestContext::ApiGatewayV1(serde_json::from_str(&json).unwrap()));
        }
        let configured = configured.map(|url| url.parse().unwrap());
        of(&parts, configured.as_ref(), "/api/x").map(String::from)
    }

    #[test]
    fn the_requests_own_address_counts_where_none_is_configured() {
        let cloud = [("host", "a1.execute-api.eu-central-1.amazonaws.com"), ("x-forwarded-proto", "https")];
        let expected = "https://a1.execute-api.eu-central-1.amazonaws.com/v1/api/x";
        assert_eq!(seen(&cloud, Some("/v1/api/telegram/setup"), None).as_deref(), Some(expected));
        let own = [("host", "bots.example"), ("x-forwarded-proto", "https")];
        assert_eq!(seen(&own, Some("/api/telegram/setup"), None).as_deref(), Some("https://bots.example/api/x"));
        assert_eq!(seen(&[("host", "127.0.0.1:3000")], None, None).as_deref(), Some("http://127.0.0.1:3000/api/x"));
        for configured in ["https://bot.example/base/", "https://bot.example/base"] {
            let seen = seen(&cloud, Some("/v1/api/telegram/setup"), Some(configured));
            assert_eq!(seen.as_deref(), Some("https://bot.example/base/api/x"));
        }
    }

    #[test]
    fn a_host_that_is_none_makes_no_address() {
        for host in ["", "a/b", "me@host", "a b", "host#"] {
            assert_eq!(seen(&[("host", host)], None, None), None, "{host:?}");
        }
        assert_eq!(seen(&[], None, None), None);
    }
}
