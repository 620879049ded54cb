//! A line of text, run by run.

use std::rc::Rc;

/// The longest address of a link, in characters; what is longer is left out.
const LONGEST_ADDRESS: usize = 1_500;
/// The schemes that a link may have.
const SCHEMES: [&str; 4] = ["https://", "http://", "mailto:", "tel:"];
/// What is put between two characters that would otherwise be read together. It is not seen.
const JOINT: char = '\u{200b}';
/// What is put behind a character that would otherwise begin or end a style. It is not seen.
const GUARD: char = '\u{2060}';

/// How a run looks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Style {
    pub(super) bold: bool,
    pub(super) italic: bool,
    pub(super) strike: bool,
    pub(super) code: bool,
    /// An address that [`address`] made.
    pub(super) link: Option<Rc<str>>,
}

/// Text of one style, as it is to be seen; no line's end in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) text: String,
    pub(super) style: Style,
}

/// A line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Line {
    /// What stands before it, as it is sent: a quote's mark, a bullet.
    pub(super) prefix: String,
    pub(super) runs: Vec<Run>,
}

/// A text with nothing in it that Slack would read.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '\n' | '\t' => escaped.push(letter),
            _ if letter.is_control() => {}
            _ => escaped.push(letter),
        }
    }
    escaped
}

/// An address as it may stand in a link; `None` for one that no link may have.
pub(super) fn address(url: &str) -> Option<Rc<str>> {
    let url = url.trim();
    let is_known =
        SCHEMES.iter().any(|scheme| url.get(..scheme.len()).is_some_and(|own| own.eq_ignore_ascii_case(scheme)));
    if !is_known || url.chars().count() > LONGEST_ADDRESS {
        return None;
    }
    let mut safe = String::with_capacity(url.len());
    for letter in url.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("%3C"),
            '>' => safe.push_str("%3E"),
            '|' => safe.push_str("%7C"),
            '`' => safe.push_str("%60"),
            ' ' => safe.push_str("%20"),
            _ if letter.is_control() || letter.is_whitespace() => {}
            _ => safe.push(letter),
        }
    }
    Some(safe.into())
}

impl Style {
    fn marks(&self) -> impl DoubleEndedIterator<Item = char> {
        let marks = [(self.bold, '*'), (self.italic, '_'), (self.strike, '~'), (self.code, '`')];
        marks.into_iter().filter_map(|(is_on, mark)| is_on.then_some(mark))
    }
}

impl Line {
    /// Adds text, to the last run where that looks the same.
    pub(super) fn push(&mut self, text: &str, style: &Style) {
        match self.runs.last_mut() {
            Some(last) if last.style == *style => last.text.push_str(text),
            _ => self.runs.push(Run { text: text.to_owned(), style: style.clone() }),
        }
    }

    /// Whether there is nothing to see.
    pub(super) fn is_blank(&self) -> bool {
        self.runs.iter().all(|run| run.text.trim().is_empty())
    }

    /// As it is sent.
    pub(super) fn render(&self) -> String {
        let mut line = self.prefix.clone();
        let mut closed = false;
        for run in &self.runs {
            closed = run.render(&mut line, closed);
        }
        line.truncate(line.trim_end().len());
        line
    }

    /// The line in pieces that are at most so many characters long when they are sent.
    pub(super) fn split(&self, most: usize) -> Vec<String> {
        let whole = self.render();
        if whole.chars().count() <= most {
            return vec![whole];
        }
        let mut pieces = Vec::new();
        let mut line = Self { prefix: self.prefix.clone(), runs: Vec::new() };
        let mut length = line.prefix.chars().count();
        for run in &self.runs {
            for word in words(&run.text) {
                let mut cost = run.cost(word);
                let goes_on = line.runs.last().is_some_and(|last| last.style == run.style);
                cost += if goes_on { 0 } else { run.overhead() };
                if length + cost > most && !line.is_blank() {
                    pieces.push(std::mem::take(&mut line).render());
                    length = 0;
                    cost = run.cost(word) + run.overhead();
                }
                line.push(word, &run.style);
                length += cost;
            }
        }
        pieces.push(line.render());
        pieces.retain(|piece| !piece.trim().is_empty());
        pieces
    }
}

impl Run {
    /// Writes it behind what is written; `closed` says whether that ends with a mark. Tells whether this does.
    fn render(&self, line: &mut String, closed: bool) -> bool {
        let core = self.text.trim();
        if core.is_empty() {
            line.push_str(&self.text);
            return closed && self.text.is_empty();
        }
        let (before, behind) = self.text.split_once(core).unwrap_or_default();
        let is_marked = self.style.marks().next().is_some();
        line.push_str(before);
        let is_letter = |letter: Option<char>| letter.is_some_and(char::is_alphanumeric);
        let after_a_letter = is_marked && is_letter(line.chars().next_back());
        let first = core.chars().next();
        let after_a_mark = closed && (is_marked || is_letter(first) || first.is_some_and(is_mark));
        if before.is_empty() && (after_a_letter || after_a_mark) {
            line.push(JOINT);
        }
        line.extend(self.style.marks());
        match &self.style.link {
            Some(address) => {
                let label = self.label(core);
                let is_itself = label == **address || address.strip_prefix("mailto:") == Some(label.as_str());
                line.push('<');
                line.push_str(address);
                if !is_itself {
                    line.push('|');
                    line.push_str(&label);
                }
                line.push('>');
            }
            None => line.push_str(&self.label(core)),
        }
        line.extend(self.style.marks().rev());
        line.push_str(behind);
        is_marked && behind.is_empty()
    }

    /// The text as it stands between the marks.
    fn label(&self, core: &str) -> String {
        if self.style.code { escape(&core.replace('`', "ˋ")) } else { escape(&guarded(core)) }
    }

    /// How much longer a line becomes at most, in characters, by more of this run's text.
    fn cost(&self, text: &str) -> usize {
        let letters = text.chars().map(|letter| match letter {
            '&' | '<' | '>' => 5,
            '*' | '_' | '~' | '`' => 2,
            _ => 1,
        });
        letters.sum()
    }

    /// How much longer a line becomes at most by what stands around this run.
    fn overhead(&self) -> usize {
        let link = self.style.link.as_ref().map_or(0, |address| address.chars().count() + 3);
        2 * self.style.marks().count() + 2 + link
    }
}

const fn is_mark(letter: char) -> bool {
    matches!(letter, '*' | '_' | '~' | '`')
}

/// A text whose own `*`, `_`, `~` and `` ` `` begin and end nothing. Slack knows no escapes for them: they are guarded
/// where they could stand at a word's edge, as a pair, and left alone elsewhere (but for `` ` ``, three of which are code).
fn guarded(text: &str) -> String {
    let letters: Vec<char> = text.chars().collect();
    let is_edge = |place: Option<usize>| {
        place.and_then(|place| letters.get(place)).is_none_or(|letter| !letter.is_alphanumeric())
    };
    let mut guarded = String::with_capacity(text.len());
    for (place, letter) in letters.iter().enumerate() {
        guarded.push(*letter);
        let pairs = || letters.iter().filter(|other| *other == letter).count() > 1;
        let inside = !is_edge(place.checked_sub(1)) && !is_edge(Some(place + 1));
        let spaced = [place.checked_sub(1), Some(place + 1)].into_iter().flatten();
        let alone = spaced.filter(|beside| letters.get(*beside).is_some_and(|letter| *letter == ' ')).count() == 2;
        if *letter == '`' || (is_mark(*letter) && !inside && !alone && pairs()) {
            guarded.push(GUARD);
        }
    }
    guarded
}

/// The text in words, each with the space behind it, and none longer than a line takes.
fn words(text: &str) -> impl Iterator<Item = &str> {
    /// The longest word that is kept whole, in characters.
    const LONGEST: usize = 200;
    text.split_inclusive(char::is_whitespace).flat_map(|word| {
        let mut rest = word;
        std::iter::from_fn(move || {
            let end = rest.char_indices().nth(LONGEST).map_or(rest.len(), |(end, _)| end);
            let (piece, behind) = rest.split_at(end);
            rest = behind;
            (!piece.is_empty()).then_some(piece)
        })
    })
}
