//! Cuts marked text to parts that fit: between paragraphs if it can be, else between lines, else between words.

use std::collections::VecDeque;

use super::Span;

/// The parts, in order. `fits` says whether a part is small enough, and `most` how many characters can be in one at
/// most. Space around the cuts is dropped, and so are parts that show nothing.
#[must_use]
pub fn parts(spans: Vec<Span>, most: usize, fits: impl Fn(&[Span]) -> bool) -> Vec<Vec<Span>> {
    let mut parts = Vec::new();
    let mut rest = VecDeque::from(spans);
    loop {
        trim_start(&mut rest);
        // One more than fits, to see what stands behind a cut.
        let window = take(&mut rest, most + 1);
        if window.is_empty() {
            return parts;
        }
        let all = length(&window);
        let at = if all <= most && fits(&window) { all } else { cut(&window, most.min(all), &fits) };
        let (mut part, tail) = split_at(window, at);
        for span in tail.into_iter().rev() {
            rest.push_front(span);
        }
        trim_end(&mut part);
        if !part.iter().all(|span| is_blank(&span.text)) {
            parts.push(part);
        }
    }
}

fn length(spans: &[Span]) -> usize {
    spans.iter().map(|span| span.text.chars().count()).sum()
}

/// Whether a text may be cut behind these characters.
type Test<'a> = &'a dyn Fn(&[(char, Kind)]) -> bool;

/// How many characters the first part gets: one at least, `most` at most.
fn cut(spans: &[Span], most: usize, fits: &impl Fn(&[Span]) -> bool) -> usize {
    let fit = |count: usize| fits(&split_at(spans.to_vec(), count).0);
    let (mut longest, mut too_long) = (1, most + 1);
    while longest + 1 < too_long {
        let middle = longest.midpoint(too_long);
        if fit(middle) { longest = middle } else { too_long = middle }
    }
    let letters: Vec<(char, Kind)> = spans
        .iter()
        .flat_map(|span| {
            let kind = if span.is_block() { Kind::Block } else { Kind::Text };
            span.text.chars().map(move |letter| (letter, kind))
        })
        .take(longest + 1)
        .collect();
    let last = |from: usize, is_good: Test<'_>| {
        (from.max(1)..=longest).rev().find(|at| letters.get(at - 1..=*at).is_some_and(is_good) && fit(*at))
    };
    let paragraph = |pair: &[(char, Kind)]| matches!(pair, [('\n', Kind::Text), ('\n', _)]);
    let line = |pair: &[(char, Kind)]| matches!(pair, [_, ('\n', _)]);
    let word = |pair: &[(char, Kind)]| matches!(pair, [_, (letter, _)] if letter.is_whitespace());
    let letter = |pair: &[(char, Kind)]| matches!(pair, [(left, _), (right, _)] if !belong_together(*left, *right));
    last(longest / 2, &paragraph)
        .or_else(|| last(longest / 2, &line))
        .or_else(|| last(longest / 3, &word))
        .or_else(|| last(longest.saturating_sub(64), &letter))
        .unwrap_or(longest)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Block,
}

/// Whether a reader sees the two as parts of one sign: accents, and what emoji are made of.
fn belong_together(left: char, right: char) -> bool {
    let joins = |letter: char| {
        matches!(letter,
            '\u{300}'..='\u{36f}' | '\u{1ab0}'..='\u{1aff}' | '\u{200c}' | '\u{200d}' | '\u{20d0}'..='\u{20ff}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{1f3fb}'..='\u{1f3ff}' | '\u{e0020}'..='\u{e007f}')
    };
    let is_flag = |letter: char| ('\u{1f1e6}'..='\u{1f1ff}').contains(&letter);
    joins(right) || left == '\u{200d}' || (is_flag(left) && is_flag(right))
}

/// Takes so many characters from the beginning.
fn take(rest: &mut VecDeque<Span>, count: usize) -> Vec<Span> {
    let (mut taken, mut left) = (Vec::new(), count);
    while left > 0
        && let Some(span) = rest.pop_front()
    {
        let (head, tail) = split_span(span, left);
        left -= head.text.chars().count();
        taken.push(head);
        if let Some(tail) = tail {
            rest.push_front(tail);
        }
    }
    taken
}

fn split_at(spans: Vec<Span>, count: usize) -> (Vec<Span>, Vec<Span>) {
    let mut tail = VecDeque::from(spans);
    (take(&mut tail, count), tail.into())
}

/// The first characters, one at least, and the others if there are any.
fn split_span(mut span: Span, count: usize) -> (Span, Option<Span>) {
    match span.text.char_indices().nth(count) {
        None => (span, None),
        Some((at, _)) => {
            let text = span.text.split_off(at);
            let marks = span.marks.clone();
            (span, Some(Span { text, marks }))
        }
    }
}

/// Takes space away from the beginning; a block's indentation stays.
fn trim_start(spans: &mut VecDeque<Span>) {
    while let Some(first) = spans.front_mut() {
        let text = first.text.as_str();
        let kept = if first.is_block() { text.trim_start_matches('\n') } else { text.trim_start() }.len();
        if kept > 0 {
            first.text.drain(..first.text.len() - kept);
            return;
        }
        spans.pop_front();
    }
}

fn trim_end(spans: &mut Vec<Span>) {
    while let Some(last) = spans.last_mut() {
        last.text.truncate(last.text.trim_end().len());
        if !last.text.is_empty() {
            return;
        }
        spans.pop();
    }
}

/// Whether nothing of it is seen: platforms refuse such a message as empty.
/// <https://www.unicode.org/reports/tr44/#Default_Ignorable_Code_Point>
fn is_blank(text: &str) -> bool {
    text.chars().all(|letter| {
        letter.is_whitespace()
            || letter.is_control()
            || matches!(letter,
                '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
                | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
                | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fff8}'
                | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
    })
}
