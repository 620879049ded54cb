//! Web origins, as a browser's `Origin` header writes them. <https://www.rfc-editor.org/rfc/rfc6454#section-6.2>

use url::{Origin, Url};

/// The origin as browsers write it (lower case, no default port, no slash at its end); nothing where it is none, or has
/// more than a scheme, a host and a port.
#[must_use]
pub fn normalise(origin: &str) -> Option<String> {
    let url = Url::parse(origin.trim()).ok()?;
    let bare = matches!(url.scheme(), "http" | "https")
        && url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    match url.origin() {
        tuple @ Origin::Tuple(..) if bare => Some(tuple.ascii_serialization()),
        Origin::Tuple(..) | Origin::Opaque(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_written_as_browsers_do() {
        let cases = [
            ("https://Example.COM/", "https://example.com"),
            ("https://example.com:443", "https://example.com"),
            ("http://localhost:3000", "http://localhost:3000"),
            ("https://bücher.example", "https://xn--bcher-kva.example"),
            ("http://[::1]:8080", "http://[::1]:8080"),
        ];
        for (given, expected) in cases {
            assert_eq!(normalise(given).as_deref(), Some(expected), "{given}");
        }
    }

    #[test]
    fn what_has_more_than_an_origin_is_none() {
        let cases =
            ["example.com", "https://a.b/c", "https://a.b?c", "https://a.b#c", "https://u@a.b", "file:///x", "*", ""];
        for given in cases {
            assert_eq!(normalise(given), None, "{given}");
        }
    }
}
