//! A web page as text.
//!
//! Pages are hostile until proven otherwise: the parser builds what a browser would, and a page can make a browser
//! build far more than it was sent. Three things are taken away before: nesting without end, formatting elements, which
//! HTML reopens in every block until they are closed, and cells that span columns and rows.

/// The deepest nesting that is laid out; a page that goes deeper is stripped of its tags instead.
const MAX_DEPTH: usize = 500;

/// A line is as long as its paragraph, within reason.
const WIDTH: usize = 500;

/// The stack of the thread that lays a page out, in bytes: some of it is recursive.
pub(super) const THREAD_STACK: usize = 32 << 20;

/// Elements that have no end tag, or whose end tag is often left out.
const UNCLOSED: [&[u8]; 24] = [
    b"area", b"base", b"br", b"col", b"dd", b"dt", b"embed", b"hr", b"img", b"input", b"li", b"link", b"meta",
    b"option", b"p", b"param", b"source", b"tbody", b"td", b"th", b"thead", b"tr", b"track", b"wbr",
];

/// Elements that the parser reopens: HTML's formatting elements but `a`, of which only one can be open.
const FORMATTING: [&[u8]; 13] =
    [b"b", b"big", b"code", b"em", b"font", b"i", b"nobr", b"s", b"small", b"strike", b"strong", b"tt", b"u"];

/// Elements whose content is no text to read. Within `svg` and `math` other rules of nesting hold.
const RAW: [&[u8]; 4] = [b"script", b"style", b"svg", b"math"];

/// Cells of tables: their attributes are dropped.
const CELLS: [&[u8]; 2] = [b"td", b"th"];

/// The most bytes of a name that are compared; longer than any that is known here.
const MAX_NAME_BYTES: usize = 64;

/// The most bytes of a page that are laid out, scripts and the like not counted: the layout takes up to 500 times as much
/// memory.
const MAX_LAYOUT_BYTES: usize = 500_000;

/// A page as text, with its links at the end. Of a page with more than 500,000 bytes beside scripts, the beginning.
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
    /// After its name.
    name_end: usize,
    kind: Kind,
    name: &'a [u8],
}

#[derive(PartialEq, Eq)]
enum Kind {
    Start,
    End,
}

impl Tag<'_> {
    /// After its `>`. Looked for only where the search goes on from there, or it would be of square time.
    fn end(&self, html: &[u8]) -> usize {
        let rest = &html[self.name_end..];
        rest.iter().position(|byte| *byte == b'>').map_or(html.len(), |end| self.name_end + end + 1)
    }
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
        if rest.first().is_some_and(u8::is_ascii_alphabetic) {
            let is_end = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b'>' | b'/');
            let rest = &rest[..rest.len().min(MAX_NAME_BYTES)];
            let name = &rest[..rest.iter().position(is_end).unwrap_or(rest.len())];
            return Some(Tag { start, name_end: name_start + name.len(), kind, name });
        }
        at = start + 1;
    }
}

fn is_one_of(name: &[u8], names: &[&[u8]]) -> bool {
    names.iter().any(|other| other.eq_ignore_ascii_case(name))
}

/// What takes the place of a tag after `before`: an empty comment where the text after it could become a tag otherwise.
fn nothing(before: &[u8]) -> &'static [u8] {
    match before.last() {
        Some(b'<' | b'/' | b'!' | b'?' | b'-') => b"<!---->",
        _ => b"",
    }
}

/// The page without its formatting elements and scripts, and with bare cells; none where it nests too deep.
fn simplify(html: &[u8]) -> Option<Vec<u8>> {
    let mut simpler = Vec::with_capacity(html.len());
    let mut open: Vec<&[u8]> = Vec::new();
    let mut done = 0;
    let mut from = 0;
    while let Some(tag) = next_tag(html, from)
        && simpler.len() + (tag.start - done) < MAX_LAYOUT_BYTES
    {
        let bare: Option<&[u8]> = match tag.name {
            name if is_one_of(name, &FORMATTING) => Some(nothing(&html[..tag.start])),
            name if is_one_of(name, &CELLS) && tag.kind == Kind::Start => Some(b"<td>"),
            name if is_one_of(name, &RAW) && tag.kind == Kind::Start => Some(nothing(&html[..tag.start])),
            _ => None,
        };
        if let Some(bare) = bare {
            simpler.extend_from_slice(&html[done..tag.start]);
            simpler.extend_from_slice(bare);
            done = end_of_content(html, &tag);
            from = done;
            continue;
        }
        from = tag.name_end;
        if is_one_of(tag.name, &UNCLOSED) {
            continue;
        }
        if tag.kind == Kind::Start {
            open.push(tag.name);
        } else if let Some(place) = open.iter().rposition(|name| name.eq_ignore_ascii_case(tag.name)) {
            open.truncate(place);
        }
        if open.len() > MAX_DEPTH {
            return None;
        }
    }
    let room = MAX_LAYOUT_BYTES.saturating_sub(simpler.len());
    simpler.extend_from_slice(&html[done..html.len().min(done + room)]);
    Some(simpler)
}

/// After a tag, or after the end tag where it begins a content that is not read.
fn end_of_content(html: &[u8], tag: &Tag<'_>) -> usize {
    let mut end = tag.end(html);
    if tag.kind == Kind::Start && is_one_of(tag.name, &RAW) {
        while let Some(next) = next_tag(html, end) {
            end = next.name_end;
            if next.kind == Kind::End && next.name.eq_ignore_ascii_case(tag.name) {
                return next.end(html);
            }
        }
        return html.len();
    }
    end
}

/// The page without its tags, scripts and the like: the crude way, of linear time.
pub(super) fn strip(html: &[u8]) -> String {
    let mut text = Vec::with_capacity(html.len() / 2);
    let mut done = 0;
    while let Some(tag) = next_tag(html, done) {
        text.extend_from_slice(&html[done..tag.start]);
        text.push(b' ');
        done = end_of_content(html, &tag);
    }
    text.extend_from_slice(&html[done..]);
    let text = String::from_utf8_lossy(&text);
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
