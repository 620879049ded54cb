//! Which pages may call, and by which names: the protocol wants `Origin` and `Host` checked, so that no page on the web
//! can reach a server on its reader's machine by a name of its own (DNS rebinding).
//!
//! What is no page sends no `Origin` and is not asked for one: every call needs a key, which no page has by itself.

use std::net::IpAddr;

use axum::http::header::{HOST, HeaderMap, HeaderName, ORIGIN};
use axum::http::uri::Authority;
use shared::agent::origin;
use shared::config::Config;
use shared::http::{ApiError, ErrorKind};

/// Whether a request with these headers is answered at all.
///
/// # Errors
/// Where its host or its origin is not among the allowed ones.
pub(crate) fn check(config: &Config, headers: &HeaderMap) -> Result<(), ApiError> {
    let hosts = &config.mcp_allowed_hosts;
    if !hosts.is_empty() && !text(headers, HOST).is_some_and(|host| is_allowed_host(hosts, host)) {
        return Err(ApiError::new(ErrorKind::Forbidden, "Host not allowed.").code("host_not_allowed"));
    }
    if headers.contains_key(ORIGIN)
        && !text(headers, ORIGIN).is_some_and(|origin| is_allowed_origin(&config.mcp_allowed_origins, origin))
    {
        return Err(ApiError::new(ErrorKind::Forbidden, "Origin not allowed.").code("origin_not_allowed"));
    }
    Ok(())
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

fn is_allowed_host(allowed: &[String], host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    allowed.iter().any(|one| match one.as_str() {
        "*" => true,
        "loopback" => is_loopback(authority.host()),
        name => name.eq_ignore_ascii_case(authority.host()) || name.eq_ignore_ascii_case(authority.as_str()),
    })
}

fn is_allowed_origin(allowed: &[String], given: &str) -> bool {
    let given = origin::normalise(given);
    allowed.iter().any(|one| match (one.as_str(), &given) {
        ("*", _) => true,
        (_, None) => false,
        ("loopback", Some(given)) => {
            let authority = given.split_once("://").and_then(|(_, authority)| authority.parse::<Authority>().ok());
            authority.is_some_and(|authority| is_loopback(authority.host()))
        }
        (one, given) => origin::normalise(one) == *given,
    })
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn allows(variables: &[(&str, &str)], host: &str, origin: &str) -> bool {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let config = Config::read(variables).unwrap();
        let mut headers = HeaderMap::new();
        for (name, value) in [(HOST, host), (ORIGIN, origin)] {
            if !value.is_empty() {
                headers.insert(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
            }
        }
        check(&config, &headers).is_ok()
    }

    #[test]
    fn what_names_no_origin_is_let_in_and_every_page_kept_out_unless_it_is_listed() {
        assert!(allows(&[], "any.example", ""));
        for origin in ["https://a.example", "null", "http://localhost:6274", "\u{e9}", "vscode-file://app"] {
            assert!(!allows(&[], "any.example", origin), "{origin}");
        }
        let listed = [("ORRERY_MCP_ALLOWED_ORIGINS", "https://A.example/ , http://localhost:6274")];
        for origin in ["https://a.example", "https://A.example:443", "http://localhost:6274"] {
            assert!(allows(&listed, "any.example", origin), "{origin}");
        }
        for origin in ["http://a.example", "https://a.example.evil.example", "http://localhost:6275", "null"] {
            assert!(!allows(&listed, "any.example", origin), "{origin}");
        }
        let all = [("ORRERY_MCP_ALLOWED_ORIGINS", "*")];
        assert!(allows(&all, "any.example", "https://b.example") && allows(&all, "any.example", "null"));
    }

    #[test]
    fn loopback_stands_for_every_name_and_port_of_this_machine() {
        let both = [("ORRERY_MCP_ALLOWED_ORIGINS", "loopback"), ("ORRERY_MCP_ALLOWED_HOSTS", "loopback")];
        for name in ["localhost", "127.0.0.1", "[::1]", "localhost:6274", "127.0.0.1:1", "[::1]:1", "LOCALHOST:80"] {
            assert!(allows(&both, name, &format!("http://{name}")), "{name}");
        }
        for name in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "10.0.0.1",
            "localhost@evil.example",
            "a b",
            "",
        ] {
            assert!(!allows(&both, name, ""), "{name}");
            assert!(name.is_empty() || !allows(&both, "localhost", &format!("http://{name}")), "{name}");
        }
    }

    #[test]
    fn a_listed_host_is_met_with_any_port_unless_it_names_one() {
        let hosts = [("ORRERY_MCP_ALLOWED_HOSTS", "api.example,127.0.0.1:3000")];
        for (host, expected) in
            [("API.example", true), ("api.example:8443", true), ("127.0.0.1:3000", true), ("127.0.0.1:3001", false)]
        {
            assert_eq!(allows(&hosts, host, ""), expected, "{host}");
        }
    }
}
