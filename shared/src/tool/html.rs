//! A web page as text.
//!
//! Pages are hostile until proven otherwise: the parser builds what a browser would, and a page can make a browser
//! build far more than it was sent. Two things are taken away before: nesting without end, and formatting elements,
//! which HTML reopens in every block until they are closed.

/// The deepest nesting that is laid out; a page that goes deeper is stripped of its tags instead.
const MAX_DEPTH: usize = 500;

/// A line is as long as its paragraph, within reason.
const WIDTH: usize = 500;

/// The stack of the thread that lays a page out, in bytes: some of it is recursive.
pub(super) const THREAD_STACK: usize = 32 << 20;

/// Elements that have no end tag, or whose end tag is often left out.
const UNCLOSED: [&[u8]; 25] = [
    b"area",
    b"base",
    b"br",
    b"col",
    b"dd",
    b"dt",
    b"embed",
    b"hr",
    b"img",
    b"input",
    b"li",
    b"link",
    b"meta",
    b"optgroup",
    b"option",
    b"p",
    b"param",
    b"source",
    b"tbody",
    b"td",
    b"th",
    b"thead",
    b"tr",
    b"track",
    b"wbr",
];

/// Elements that the parser reopens: HTML's formatting elements but `a`, of which only one can be open.
const FORMATTING: [&[u8]; 13] =
    [b"b", b"big", b"code", b"em", b"font", b"i", b"nobr", b"s", b"small", b"strike", b"strong", b"tt", b"u"];

/// Takes the place of a tag, so that what stood around it does not become a tag in turn.
const NOTHING: &[u8] = b"<!---->";

/// A page as text, with its links at the end.
pub(super) fn to_text(html: &[u8]) -> String {
    let Some(simpler) = simplify(html) else { return strip(html) };
    html2text::config::plain_no_decorate()
        .link_footnotes(true)
        .raw_mode(true)
        .string_from_read(simpler.as_slice(), WIDTH)
        .unwrap_or_else(|_| strip(html))
}

/// A tag in a page.
struct Tag<'a> {
    /// Where its `<` stands.
    start: usize,
    /// After its `>`.
    end: usize,
    kind: Kind,
    name: &'a [u8],
}

#[derive(PartialEq, Eq)]
enum Kind {
    Start,
    End,
}

/// The next tag from `from` on.
fn next_tag(html: &[u8], from: usize) -> Option<Tag<'_>> {
    let mut at = from;
    loop {
        let start = at + html.get(at..)?.iter().position(|byte| *byte == b'<')?;
        let (kind, name_start) = match html.get(start + 1) {
            Some(b'/') => (Kind::End, start + 2),
            _ => (Kind::Start, start + 1),
        };
        let rest = html.get(name_start..)?;
        let is_end = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b'>' | b'/');
        let name = &rest[..rest.iter().position(is_end).unwrap_or(rest.len())];
        if name.first().is_some_and(u8::is_ascii_alphabetic) {
            let after = rest.iter().position(|byte| *byte == b'>').map_or(html.len(), |end| name_start + end + 1);
            return Some(Tag { start, end: after, kind, name });
        }
        at = start + 1;
    }
}

fn is_one_of(name: &[u8], names: &[&[u8]]) -> bool {
    names.iter().any(|other| other.eq_ignore_ascii_case(name))
}

/// The page without its formatting elements; none where it nests too deep.
fn simplify(html: &[u8]) -> Option<Vec<u8>> {
    let mut simpler = Vec::with_capacity(html.len());
    let mut open: Vec<&[u8]> = Vec::new();
    let mut done = 0;
    let mut from = 0;
    while let Some(tag) = next_tag(html, from) {
        from = tag.start + 1;
        if is_one_of(tag.name, &FORMATTING) {
            simpler.extend_from_slice(html.get(done..tag.start)?);
            simpler.extend_from_slice(NOTHING);
            (done, from) = (tag.end, tag.end);
        } else if is_one_of(tag.name, &UNCLOSED) {
        } else if tag.kind == Kind::Start {
            open.push(tag.name);
        } else if let Some(place) = open.iter().rposition(|name| name.eq_ignore_ascii_case(tag.name)) {
            open.truncate(place);
        }
        if open.len() > MAX_DEPTH {
            return None;
        }
    }
    simpler.extend_from_slice(html.get(done..)?);
    Some(simpler)
}

/// The page without its tags, scripts and styles: the crude way, of linear time.
fn strip(html: &[u8]) -> String {
    let mut text = Vec::with_capacity(html.len() / 2);
    let mut done = 0;
    while let Some(tag) = next_tag(html, done) {
        text.extend_from_slice(&html[done..tag.start]);
        text.push(b' ');
        done = tag.end;
        if tag.kind == Kind::Start && is_one_of(tag.name, &[b"script", b"style"]) {
            while let Some(end) = next_tag(html, done) {
                done = end.end;
                if end.kind == Kind::End && end.name.eq_ignore_ascii_case(tag.name) {
                    break;
                }
            }
        }
    }
    text.extend_from_slice(&html[done..]);
    let text = String::from_utf8_lossy(&text);
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
