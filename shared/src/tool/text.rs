//! Texts kept within their bounds, which are counted in characters.

/// What is cut, for the notice that says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// The text of a page.
    Page,
    /// The result of a tool.
    Result,
}

/// The text, or its beginning with a notice of how long it was; never more than `limit` characters and the notice.
pub(super) fn bound(text: &str, limit: usize, what: Cut) -> String {
    let total = text.chars().count();
    if total <= limit { text.to_owned() } else { cut(text, limit, total, what) }
}

/// The first `limit` characters of a text that had `total`, and the notice.
pub(super) fn cut(text: &str, limit: usize, total: usize, what: Cut) -> String {
    let what = match what {
        Cut::Page => "page",
        Cut::Result => "result",
    };
    let end = text.char_indices().nth(limit).map_or(text.len(), |(end, _)| end);
    format!("{}\n[cut: the {what} has {total} characters, of which these are the first {limit}]", &text[..end])
}

/// The text, or its first `limit` characters with an ellipsis.
pub(super) fn shorten(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_within_its_bound_is_left_alone() {
        assert_eq!(bound("äöü", 3, Cut::Result), "äöü");
    }

    #[test]
    fn a_longer_text_is_cut_between_characters_and_says_how_long_it_was() {
        let notice = "\n[cut: the page has 4 characters, of which these are the first 2]";
        assert_eq!(bound("😀äöü", 2, Cut::Page), format!("😀ä{notice}"));
    }

    #[test]
    fn a_shortened_text_ends_in_an_ellipsis() {
        assert_eq!((shorten("abc", 3), shorten("abcd", 3)), ("abc".to_owned(), "abc…".to_owned()));
    }
}
