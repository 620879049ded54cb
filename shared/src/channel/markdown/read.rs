//! Reads CommonMark with GitHub's tables, strike-throughs and task lists. What chats have nothing for becomes text:
//! headings are bold lines, a table's rows are lines of `header: cell`, images are links.

use std::collections::BTreeSet;

use pulldown_cmark::{CodeBlockKind, Event, LinkType, Options, Parser, Tag, TagEnd};
use url::Url;

use super::{Mark, Span};

/// The longest address that is linked, in bytes.
const LONGEST_LINK: usize = 2048;
/// The longest name of a language, in bytes.
const LONGEST_LANGUAGE: usize = 32;
/// How deep lists are indented.
const DEEPEST_INDENT: usize = 8;

/// Reads a text. Everything is Markdown: there is no text that cannot be read.
#[must_use]
pub fn read(markdown: &str) -> Vec<Span> {
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TASKLISTS;
    let mut reader = Reader::default();
    for event in Parser::new_ext(markdown, options) {
        reader.event(event);
    }
    reader.spans
}

#[derive(Default)]
struct Reader {
    spans: Vec<Span>,
    /// What is open, the outermost first.
    open: Vec<Mark>,
    quotes: Quotes,
    /// The next number of each open list; `None` where it has none.
    lists: Vec<Option<u64>>,
    /// How many line ends stand before the next text.
    gap: usize,
    line: Line,
    table: Table,
    /// How much was written when each open link or image began, and where it leads.
    links: Vec<(usize, String)>,
}

/// Open quotations; those within others are part of them.
#[derive(Default)]
struct Quotes {
    depth: usize,
    /// Nothing was written in it yet: the gap before it belongs to no quotation.
    is_fresh: bool,
}

/// What the current line holds.
#[derive(Default, PartialEq, Eq)]
enum Line {
    /// Text, or nothing.
    #[default]
    Plain,
    /// A list item's bullet alone.
    Bullet,
}

#[derive(Default)]
struct Table {
    headers: Vec<String>,
    place: Place,
    column: usize,
    rows: usize,
}

#[derive(Default, PartialEq, Eq)]
enum Place {
    #[default]
    Outside,
    Head,
    /// In a row, in a cell with nothing in it yet.
    EmptyCell,
    Cell,
}

impl Reader {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) => self.push(&text),
            Event::Code(text) => {
                self.open.push(Mark::Code);
                self.push(&text);
                self.open.pop();
            }
            Event::Html(text) | Event::InlineHtml(text) => match text.trim().to_ascii_lowercase().as_str() {
                "<br>" | "<br/>" | "<br />" => self.push("\n"),
                _ => self.push(&text),
            },
            Event::SoftBreak | Event::HardBreak => self.push("\n"),
            Event::Rule => {
                self.block();
                self.push("———");
                self.gap = 2;
            }
            Event::TaskListMarker(is_done) => self.push(if is_done { "☑ " } else { "☐ " }),
            Event::InlineMath(text) | Event::DisplayMath(text) | Event::FootnoteReference(text) => self.push(&text),
        }
    }

    fn start(&mut self, tag: Tag<'_>) {
        match tag {
            Tag::Paragraph | Tag::HtmlBlock => self.block(),
            Tag::Heading { .. } => {
                self.block();
                self.open.push(Mark::Bold);
            }
            Tag::BlockQuote(_) => {
                self.block();
                self.quotes.is_fresh |= self.quotes.depth == 0;
                self.quotes.depth += 1;
            }
            Tag::CodeBlock(kind) => {
                self.block();
                self.open.push(Mark::Block(language(&kind)));
            }
            Tag::List(first) => {
                self.block();
                self.lists.push(first);
            }
            Tag::Item => self.item(),
            Tag::Table(_) => {
                self.block();
                self.table = Table::default();
            }
            Tag::TableHead => self.table.place = Place::Head,
            Tag::TableRow => {
                let is_wide = self.table.headers.len() > 1;
                self.gap = if self.table.rows > 0 && is_wide { 2 } else { self.gap.max(1) };
                self.table.rows += 1;
                self.table.column = 0;
            }
            Tag::TableCell => match self.table.place {
                Place::Head => self.table.headers.push(String::new()),
                _ => self.table.place = Place::EmptyCell,
            },
            Tag::Emphasis => self.open.push(Mark::Italic),
            Tag::Strong => self.open.push(Mark::Bold),
            Tag::Strikethrough => self.open.push(Mark::Strike),
            Tag::Link { link_type, dest_url, .. } => {
                self.link(if link_type == LinkType::Email {
                    format!("mailto:{dest_url}")
                } else {
                    dest_url.into_string()
                });
            }
            Tag::Image { dest_url, .. } => self.link(dest_url.into_string()),
            Tag::FootnoteDefinition(_)
            | Tag::DefinitionList
            | Tag::DefinitionListTitle
            | Tag::DefinitionListDefinition
            | Tag::Superscript
            | Tag::Subscript
            | Tag::MetadataBlock(_) => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Paragraph => self.gap = 2,
            TagEnd::HtmlBlock => {
                self.chop();
                self.gap = 2;
            }
            TagEnd::Heading(_) => {
                self.open.pop();
                self.gap = 2;
            }
            TagEnd::CodeBlock => {
                self.open.pop();
                self.chop();
                self.gap = 2;
            }
            TagEnd::BlockQuote(_) => {
                self.quotes.depth = self.quotes.depth.saturating_sub(1);
                self.quotes.is_fresh = false;
                self.gap = 2;
            }
            TagEnd::List(_) => {
                self.lists.pop();
                self.gap = if self.lists.is_empty() { 2 } else { 1 };
            }
            TagEnd::Item => {
                self.line = Line::Plain;
                self.gap = 1;
            }
            TagEnd::TableCell if self.table.place != Place::Head => {
                self.table.column += 1;
                self.gap = if self.table.place == Place::Cell { 1 } else { self.gap };
            }
            TagEnd::TableHead => self.table.place = Place::Outside,
            TagEnd::Table => self.end_table(),
            TagEnd::Emphasis | TagEnd::Strong | TagEnd::Strikethrough => {
                self.open.pop();
            }
            TagEnd::Link | TagEnd::Image => self.end_link(),
            _ => {}
        }
    }

    /// A block begins, on a line of its own.
    fn block(&mut self) {
        if self.line == Line::Plain {
            self.gap = self.gap.max(1);
        }
    }

    fn item(&mut self) {
        self.gap = self.gap.clamp(1, if self.lists.len() > 1 { 1 } else { 2 });
        let bullet = match self.lists.last_mut() {
            Some(Some(number)) => {
                *number = number.saturating_add(1);
                format!("{}. ", number.saturating_sub(1))
            }
            _ => "• ".to_owned(),
        };
        self.fill_gap(self.lists.len().saturating_sub(1));
        self.add(&bullet, BTreeSet::new());
        self.line = Line::Bullet;
    }

    fn link(&mut self, to: String) {
        self.links.push((self.spans.len(), to.clone()));
        self.open.push(Mark::Link(to));
    }

    /// A link without a text is told by its address.
    fn end_link(&mut self) {
        if let Some((before, to)) = self.links.pop() {
            if self.spans.len() == before && self.table.place != Place::Head && address(&to).is_some() {
                self.push(&to);
            }
            self.open.pop();
        }
    }

    fn end_table(&mut self) {
        let table = std::mem::take(&mut self.table);
        if table.rows == 0 {
            self.open.push(Mark::Bold);
            self.push(&table.headers.join(" | "));
            self.open.pop();
        }
        self.gap = 2;
    }

    /// Writes text with all marks that are open.
    fn push(&mut self, text: &str) {
        let text: String = text.chars().filter(|letter| is_kept(*letter)).collect();
        if self.table.place == Place::Head {
            if let Some(header) = self.table.headers.last_mut() {
                header.push_str(&text);
            }
            return;
        }
        if text.is_empty() {
            return;
        }
        let marks = marks(&self.open);
        let is_block = marks.iter().any(|mark| matches!(mark, Mark::Block(_)));
        self.fill_gap(if is_block { 0 } else { self.lists.len() });
        self.label();
        self.line = Line::Plain;
        self.add(&text, marks);
    }

    /// Writes a cell's header before it.
    fn label(&mut self) {
        if self.table.place == Place::EmptyCell {
            self.table.place = Place::Cell;
            if let Some(header) = self.table.headers.get(self.table.column).filter(|header| !header.is_empty()) {
                let header = format!("{header}:");
                self.add(&header, BTreeSet::from([Mark::Bold]));
                self.add(" ", BTreeSet::new());
            }
        }
    }

    /// Writes the line ends that are due, and the indentation behind them, for text within so many lists.
    fn fill_gap(&mut self, depth: usize) {
        let gap = std::mem::take(&mut self.gap);
        if gap > 0 && !self.spans.is_empty() {
            let depth_of_quotes = self.quotes.depth;
            if self.quotes.is_fresh {
                self.quotes.depth = 0;
            }
            self.add(&"\n".repeat(gap), BTreeSet::new());
            self.quotes.depth = depth_of_quotes;
        }
        self.quotes.is_fresh = false;
        if gap > 0 {
            self.add(&"  ".repeat(depth.min(DEEPEST_INDENT)), BTreeSet::new());
        }
    }

    /// Takes the line end back that ends a block.
    fn chop(&mut self) {
        if let Some(last) = self.spans.last_mut() {
            last.text.truncate(last.text.trim_end_matches('\n').len());
            if last.text.is_empty() {
                self.spans.pop();
            }
        }
    }

    fn add(&mut self, text: &str, mut marks: BTreeSet<Mark>) {
        if self.quotes.depth > 0 {
            marks.insert(Mark::Quote);
        }
        match self.spans.last_mut() {
            _ if text.is_empty() => {}
            Some(last) if last.marks == marks => last.text.push_str(text),
            _ => self.spans.push(Span { text: text.to_owned(), marks }),
        }
    }
}

/// What text is within these, the outermost first: code has no other marks, a link's text no code, and no link another.
fn marks(open: &[Mark]) -> BTreeSet<Mark> {
    if let Some(block) = open.iter().find(|mark| matches!(mark, Mark::Block(_))) {
        return BTreeSet::from([block.clone()]);
    }
    let link = open.iter().find_map(|mark| if let Mark::Link(to) = mark { address(to) } else { None });
    let is_code = link.is_none() && open.contains(&Mark::Code);
    let rest = open.iter().filter(|mark| match mark {
        Mark::Link(_) | Mark::Block(_) => false,
        Mark::Code => is_code,
        _ => !is_code,
    });
    rest.cloned().chain(link.map(Mark::Link)).collect()
}

/// The address, where a reader may be sent there.
fn address(to: &str) -> Option<String> {
    let url = Url::parse(to).ok().filter(|_| to.len() <= LONGEST_LINK)?;
    let is_open = match url.scheme() {
        "http" | "https" | "tg" => url.has_host(),
        "mailto" => url.path().contains('@'),
        _ => false,
    };
    is_open.then(|| url.to_string()).filter(|url| url.len() <= LONGEST_LINK)
}

/// The first word behind a fence, where it can be the name of a language.
fn language(kind: &CodeBlockKind<'_>) -> Option<String> {
    let CodeBlockKind::Fenced(info) = kind else { return None };
    let name = info.split_whitespace().next()?;
    let is_name = name.len() <= LONGEST_LANGUAGE
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-#_.".contains(&byte));
    is_name.then(|| name.to_owned())
}

/// Chats drop control characters, and those that separate lines or turn the writing's direction.
fn is_kept(letter: char) -> bool {
    matches!(letter, '\n' | '\t') || !(letter.is_control() || ('\u{2028}'..='\u{202e}').contains(&letter))
}
