//! Markdown as text with marks on it, which each platform writes in a format of its own. Marks can be closed at the end
//! of any character and opened again behind it, so that a text of any length can be cut to posts that stand alone.

mod read;
mod split;

use std::collections::BTreeSet;

pub use read::read;
pub use split::parts;

/// What a piece of text is. The order is that of nesting, the outermost first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mark {
    /// Of a quotation.
    Quote,
    /// Of a block of code, in this language.
    Block(Option<String>),
    /// The text of a link to this address, which is one that a reader may be sent to.
    Link(String),
    /// Bold.
    Bold,
    /// Italic.
    Italic,
    /// Struck through.
    Strike,
    /// Code within a line.
    Code,
}

/// Text, and what it is. A block, a link and code within a line hold none of each other; no text is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// The text, without control characters other than the ends of lines and tabs.
    pub text: String,
    /// What it is.
    pub marks: BTreeSet<Mark>,
}

impl Span {
    /// Whether its spaces and line ends matter.
    #[must_use]
    pub fn is_block(&self) -> bool {
        self.marks.iter().any(|mark| matches!(mark, Mark::Block(_)))
    }
}

/// A text as platforms count it, in UTF-16 code units.
#[must_use]
pub fn units(text: &str) -> usize {
    text.chars().map(char::len_utf16).sum()
}

/// Calls `close` and `open` for the marks that end and begin before each span, and `text` for its text; in the end all
/// marks are closed. They nest.
pub fn walk(spans: &[Span], mut step: impl FnMut(Step<'_>)) {
    let mut open: Vec<&Mark> = Vec::new();
    for span in spans {
        let kept = open.iter().zip(&span.marks).take_while(|(open, mark)| **open == *mark).count();
        for mark in open.drain(kept..).rev() {
            step(Step::Close(mark));
        }
        for mark in span.marks.iter().skip(kept) {
            step(Step::Open(mark));
            open.push(mark);
        }
        step(Step::Text(&span.text));
    }
    for mark in open.into_iter().rev() {
        step(Step::Close(mark));
    }
}

/// A step through marked text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// A mark begins.
    Open(&'a Mark),
    /// Text.
    Text(&'a str),
    /// The mark that began last ends.
    Close(&'a Mark),
}
