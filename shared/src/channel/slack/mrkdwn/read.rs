//! Markdown as blocks.

use pulldown_cmark::{Event, LinkType, Options, Parser, Tag, TagEnd};

use super::pack::{Block, Body, Gap};
use super::run::{Line, Run, Style, address};

/// A rule.
const RULE: &str = "———";
/// What each level of a list is indented by.
const INDENT: &str = "    ";
/// What stands before an item's further lines.
const CONTINUED: &str = "   ";
/// The deepest level that is shown as such.
const DEEPEST: usize = 8;

/// The blocks of a document.
pub(super) fn blocks(markdown: &str) -> Vec<Block> {
    let options = Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TABLES | Options::ENABLE_TASKLISTS;
    let mut reader = Reader::default();
    for event in Parser::new_ext(markdown, options) {
        reader.read(event);
    }
    reader.end_block();
    reader.blocks
}

#[derive(Default)]
struct Reader {
    blocks: Vec<Block>,
    /// The lines of the block that is being read.
    lines: Vec<Line>,
    line: Line,
    style: Style,
    /// How many of each the text stands in.
    bold: u32,
    italic: u32,
    strike: u32,
    /// The next number of each list that the text stands in; none where it has bullets.
    lists: Vec<Option<u64>>,
    /// What stands before the item that begins.
    marker: Option<String>,
    quotes: u32,
    /// The code block that is being read.
    code: Option<String>,
    table: Option<Table>,
    /// Whether a list was just broken into, or goes on behind what broke it.
    in_list: bool,
}

/// A table that is being read.
#[derive(Default)]
struct Table {
    header: Vec<Line>,
    row: Vec<Line>,
}

impl Reader {
    fn read(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) => match &mut self.code {
                Some(code) => code.push_str(&text),
                None => self.text(&text),
            },
            Event::Code(code) => {
                self.style.code = true;
                self.text(&code);
                self.style.code = false;
            }
            Event::SoftBreak | Event::HardBreak => self.line_break(),
            Event::Html(html) | Event::InlineHtml(html) => self.html(&html),
            Event::Rule => {
                self.end_block();
                self.text(RULE);
                self.end_block();
            }
            Event::TaskListMarker(is_done) => self.marker = Some(if is_done { "☑ " } else { "☐ " }.to_owned()),
            Event::FootnoteReference(name) => self.text(&name),
            Event::InlineMath(text) | Event::DisplayMath(text) => self.text(&text),
        }
    }

    fn start(&mut self, tag: Tag<'_>) {
        match tag {
            Tag::Heading { .. } => self.embolden(1),
            Tag::Strong => self.embolden(1),
            Tag::Emphasis => {
                self.italic += 1;
                self.style.italic = true;
            }
            Tag::Strikethrough => {
                self.strike += 1;
                self.style.strike = true;
            }
            Tag::Link { link_type: LinkType::Email, dest_url, .. } => {
                self.style.link = address(&format!("mailto:{dest_url}"));
            }
            Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. } if self.style.link.is_none() => {
                self.style.link = address(&dest_url);
            }
            Tag::BlockQuote(_) => {
                self.break_list();
                self.quotes += 1;
            }
            Tag::CodeBlock(_) => {
                self.break_list();
                self.code = Some(String::new());
            }
            Tag::List(first) => {
                self.end_line();
                if self.lists.is_empty() {
                    self.end_block();
                }
                self.lists.push(first);
            }
            Tag::Item => self.marker = Some(self.bullet()),
            Tag::Table(_) => {
                self.break_list();
                self.table = Some(Table::default());
            }
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Paragraph | TagEnd::HtmlBlock => self.end_paragraph(),
            TagEnd::Heading(_) => {
                self.embolden(-1);
                self.end_paragraph();
            }
            TagEnd::Strong => self.embolden(-1),
            TagEnd::Emphasis => {
                self.italic = self.italic.saturating_sub(1);
                self.style.italic = self.italic > 0;
            }
            TagEnd::Strikethrough => {
                self.strike = self.strike.saturating_sub(1);
                self.style.strike = self.strike > 0;
            }
            TagEnd::Link | TagEnd::Image => self.end_link(),
            TagEnd::BlockQuote(_) => {
                self.break_list();
                self.quotes = self.quotes.saturating_sub(1);
            }
            TagEnd::CodeBlock => {
                let code = self.code.take().unwrap_or_default();
                self.push_block(Body::Code(code));
            }
            TagEnd::List(_) => {
                self.lists.pop();
                if self.lists.is_empty() {
                    self.end_block();
                    self.in_list = false;
                }
            }
            TagEnd::Item => {
                self.end_line();
                self.marker = None;
            }
            TagEnd::TableCell => {
                let cell = std::mem::take(&mut self.line);
                self.in_table(|table| table.row.push(cell));
            }
            TagEnd::TableHead => self.in_table(|table| table.header = std::mem::take(&mut table.row)),
            TagEnd::TableRow => self.end_row(),
            TagEnd::Table => self.end_table(),
            _ => {}
        }
    }

    fn embolden(&mut self, by: i32) {
        self.bold = self.bold.saturating_add_signed(by);
        self.style.bold = self.bold > 0;
    }

    fn in_table(&mut self, change: impl FnOnce(&mut Table)) {
        if let Some(table) = &mut self.table {
            change(table);
        }
    }

    /// Adds text, which may hold lines' ends.
    fn text(&mut self, text: &str) {
        for (place, part) in text.split('\n').enumerate() {
            if place > 0 {
                self.line_break();
            }
            if !part.is_empty() {
                self.line.push(part, &self.style);
            }
        }
    }

    fn line_break(&mut self) {
        if self.table.is_some() {
            self.line.push(" ", &self.style);
        } else {
            self.end_line();
        }
    }

    fn html(&mut self, html: &str) {
        let tag = html.trim().trim_end_matches('>').trim_end_matches('/').trim_end();
        if tag.eq_ignore_ascii_case("<br") { self.line_break() } else { self.text(html) }
    }

    /// An address that nothing was written on is written itself.
    fn end_link(&mut self) {
        let Some(address) = self.style.link.clone() else { return };
        let is_written = self.line.runs.last().is_some_and(|run| run.style.link.as_ref() == Some(&address));
        if !is_written {
            self.line.push(&address.replace("&amp;", "&"), &self.style);
        }
        self.style.link = None;
    }

    fn bullet(&mut self) -> String {
        match self.lists.last_mut() {
            Some(Some(number)) => {
                let bullet = format!("{number}. ");
                *number = number.saturating_add(1);
                bullet
            }
            Some(None) | None => "• ".to_owned(),
        }
    }

    fn end_line(&mut self) {
        let mut line = std::mem::take(&mut self.line);
        if line.is_blank() && self.marker.is_none() {
            return;
        }
        if self.quotes > 0 {
            line.prefix.push_str("> ");
        }
        if !self.lists.is_empty() {
            let indent = INDENT.repeat((self.lists.len() - 1).min(DEEPEST));
            match self.marker.take() {
                Some(marker) => line.prefix += &(indent + &marker),
                None if self.quotes == 0 => line.prefix += &(indent + CONTINUED),
                None => {}
            }
        }
        self.lines.push(line);
    }

    fn end_paragraph(&mut self) {
        self.end_line();
        if self.lists.is_empty() {
            self.end_block();
        }
    }

    /// Ends the block; where it stands in a list, the list goes on behind it.
    fn break_list(&mut self) {
        self.end_block();
        self.in_list = !self.lists.is_empty();
    }

    fn end_block(&mut self) {
        self.end_line();
        if !self.lines.is_empty() {
            let lines = std::mem::take(&mut self.lines);
            self.push_block(Body::Lines(lines));
        }
    }

    fn push_block(&mut self, body: Body) {
        let gap = if self.in_list { Gap::None } else { Gap::Line };
        self.blocks.push(Block { gap, body });
        self.in_list = !self.lists.is_empty();
    }

    /// A row becomes a line of its cells, each with its column's name.
    fn end_row(&mut self) {
        let Some(table) = &mut self.table else { return };
        let mut line = Line::default();
        for (place, cell) in std::mem::take(&mut table.row).into_iter().enumerate() {
            if cell.is_blank() {
                continue;
            }
            if !line.runs.is_empty() {
                line.push(" · ", &Style::default());
            }
            let name = table.header.get(place).filter(|name| !name.is_blank());
            if let Some(name) = name {
                bold(&mut line, name);
                line.push(": ", &Style::default());
            }
            line.runs.extend(cell.runs);
        }
        self.line = line;
        self.end_line();
    }

    /// Of a table without rows, the names of its columns are shown.
    fn end_table(&mut self) {
        let table = self.table.take().unwrap_or_default();
        if self.lines.is_empty() {
            for name in table.header.iter().filter(|name| !name.is_blank()) {
                if !self.line.runs.is_empty() {
                    self.line.push(" · ", &Style::default());
                }
                bold(&mut self.line, name);
            }
        }
        self.end_block();
    }
}

/// Adds what stands in another line, in bold.
fn bold(line: &mut Line, other: &Line) {
    for Run { text, style } in &other.runs {
        line.push(text, &Style { bold: true, ..style.clone() });
    }
}
