//! Answers in WhatsApp's format. It has no escapes: a mark is written where WhatsApp reads it as one, around words within
//! a line, and left out elsewhere. <https://faq.whatsapp.com/539178204879377>

use std::collections::BTreeSet;

use crate::channel::markdown::{self, Mark, Span, units};

/// The longest message, in characters; counted in UTF-16 units here, which are never fewer.
/// <https://developers.facebook.com/documentation/business-messaging/whatsapp/messages/text-messages>
const LONGEST: usize = 4096;
const FENCE: &str = "```";
const QUOTE: &str = "> ";

/// An answer as the messages that it is sent in.
#[must_use]
pub fn posts(markdown: &str) -> Vec<String> {
    let spans = told_links(markdown::read(markdown));
    let parts = markdown::parts(spans, LONGEST, |part| units(&write(part)) <= LONGEST);
    parts.iter().map(|part| write(part)).collect()
}

/// Links as text, with the address behind it where that is not the text itself.
fn told_links(spans: Vec<Span>) -> Vec<Span> {
    let link = |span: &Span| {
        span.marks.iter().find_map(|mark| if let Mark::Link(to) = mark { Some(to.clone()) } else { None })
    };
    let (mut told, mut text) = (Vec::with_capacity(spans.len()), String::new());
    for (index, span) in spans.iter().enumerate() {
        let to = link(span);
        let marks: BTreeSet<Mark> = span.marks.iter().filter(|mark| !matches!(mark, Mark::Link(_))).cloned().collect();
        let quote: BTreeSet<Mark> = marks.iter().filter(|mark| **mark == Mark::Quote).cloned().collect();
        told.push(Span { text: span.text.clone(), marks });
        let Some(to) = to else { continue };
        text.push_str(&span.text);
        if spans.get(index + 1).and_then(link).as_ref() != Some(&to) {
            let shown = std::mem::take(&mut text);
            let bare = |address: &str| address.trim_start_matches("mailto:").trim_end_matches('/').to_owned();
            if bare(&shown) != bare(&to) {
                told.push(Span { text: format!(" ({})", to.trim_start_matches("mailto:")), marks: quote });
            }
        }
    }
    told
}

type Letter = (char, BTreeSet<Mark>);

fn write(part: &[Span]) -> String {
    let mut written = String::new();
    let mut line = Vec::new();
    let mut rest = part;
    while let Some(span) = rest.first() {
        if span.is_block() {
            write_line(&mut line, &mut written);
            written.push_str(&block(&span.text));
        } else {
            for letter in span.text.chars() {
                if letter == '\n' {
                    write_line(&mut line, &mut written);
                    written.push('\n');
                    // An empty line of a quotation is one of it.
                    if span.marks.contains(&Mark::Quote) {
                        line.push((' ', span.marks.clone()));
                    }
                } else {
                    line.push((letter, span.marks.clone()));
                }
            }
        }
        rest = &rest[1..];
    }
    write_line(&mut line, &mut written);
    written.trim_end().to_owned()
}

/// A block of code; one that holds a fence itself is left as text.
fn block(text: &str) -> String {
    if text.contains(FENCE) { text.to_owned() } else { format!("{FENCE}\n{text}\n{FENCE}") }
}

/// Writes what a line holds, and empties it.
fn write_line(line: &mut Vec<Letter>, written: &mut String) {
    let mut letters = std::mem::take(line);
    let is_quote = letters.iter().any(|(_, marks)| marks.contains(&Mark::Quote));
    if is_quote {
        written.push_str(QUOTE);
        let spaces = letters.iter().take_while(|(letter, _)| *letter == ' ').count();
        letters.drain(..spaces);
    }
    for (mark, sign) in SIGNS {
        tidy(&mut letters, mark, *sign);
    }
    let mut open: Vec<char> = Vec::new();
    for (letter, marks) in &letters {
        let wanted: Vec<char> = SIGNS.iter().filter(|(mark, _)| marks.contains(mark)).map(|(_, sign)| *sign).collect();
        let kept = open.iter().zip(&wanted).take_while(|(open, wanted)| open == wanted).count();
        written.extend(open.drain(kept..).rev());
        written.extend(&wanted[kept..]);
        open.extend(&wanted[kept..]);
        written.push(*letter);
    }
    written.extend(open.into_iter().rev());
}

/// The signs, the outermost first. Nothing stands within code.
const SIGNS: &[(Mark, char)] = &[(Mark::Bold, '*'), (Mark::Italic, '_'), (Mark::Strike, '~'), (Mark::Code, '`')];

/// Takes a mark away where WhatsApp would not read it: from space at its ends, from within words, and from text that
/// holds its sign.
fn tidy(letters: &mut [Letter], mark: &Mark, sign: char) {
    let mut from = 0;
    while from < letters.len() {
        let run = letters[from..].iter().take_while(|(_, marks)| marks.contains(mark)).count();
        let (start, end) = (from, from + run);
        from = end.max(start + 1);
        let is_space = |(letter, _): &&Letter| letter.is_whitespace();
        let before = letters[start..end].iter().take_while(is_space).count();
        let behind = letters[start + before..end].iter().rev().take_while(is_space).count();
        let (first, last) = (start + before, end - behind);
        let is_word = |at: Option<&Letter>| at.is_some_and(|(letter, _)| letter.is_alphanumeric());
        let in_a_word = is_word(start_of(letters, first)) || is_word(letters.get(last));
        let holds_sign = letters[first..last].iter().any(|(letter, _)| *letter == sign);
        let drop_all = in_a_word || holds_sign;
        for (at, (_, marks)) in letters.iter_mut().enumerate().take(end).skip(start) {
            if drop_all || !(first..last).contains(&at) {
                marks.remove(mark);
            }
        }
    }
}

fn start_of(letters: &[Letter], first: usize) -> Option<&Letter> {
    letters.get(first.checked_sub(1)?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_answer_with_everything_in_it() {
        insta::assert_snapshot!(posts(include_str!("../fixtures/answer.md")).join("\n=====\n"));
    }

    #[test]
    fn marks_are_written_where_whatsapp_reads_them() {
        for (markdown, written) in [
            ("**bold** _italic_ ~~gone~~ `code`", "*bold* _italic_ ~gone~ `code`"),
            ("***both***", "*_both_*"),
            ("**bold _and italic_**", "*bold _and italic_*"),
            ("un**frog**gettable", "unfroggettable"),
            ("**a**, **b**", "*a*, *b*"),
            ("**over\ntwo lines**", "*over*\n*two lines*"),
            ("5 * 3 * 2 and snake_case", "5 * 3 * 2 and snake_case"),
            ("**a * b**", "a * b"),
            ("`` a ` b ``", "a ` b"),
            ("[here](https://a.example/x)", "here (https://a.example/x)"),
            ("[**bold** link](https://a.example/x) after", "*bold* link (https://a.example/x) after"),
            ("<https://a.example>", "https://a.example"),
            ("<me@a.example>", "me@a.example"),
            ("[write](mailto:me@a.example)", "write (me@a.example)"),
            ("> a\n> b\n>\n> c", "> a\n> b\n> \n> c"),
            ("```\na < b\n```", "```\na < b\n```"),
            ("- a\n- b\n\n1. c", "• a\n• b\n\n1. c"),
        ] {
            assert_eq!(posts(markdown), [written], "{markdown:?}");
        }
    }

    #[test]
    fn a_long_answer_is_cut_and_code_is_closed_and_opened_again() {
        let posts = posts(&format!("```rust\n{}```", "    let x = 1;\n".repeat(600)));
        assert_eq!(posts.len(), 3);
        for post in &posts {
            assert!(post.starts_with("```\n    let x") && post.ends_with("let x = 1;\n```") && units(post) <= LONGEST);
        }
        for (text, times) in [("**b** ", 1000), ("> q\n", 3000), ("[x](https://a.example/y) ", 500), ("😀", 5000)] {
            for post in super::posts(&text.repeat(times)) {
                assert!((1..=LONGEST).contains(&units(&post)));
            }
        }
    }

    fn markdown() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            proptest::sample::select(vec![
                "**",
                "*",
                "_",
                "~~",
                "`",
                "```",
                "\n",
                "\n\n",
                "> ",
                "- ",
                "1. ",
                "    ",
                "# ",
                "[",
                "](https://a.example)",
                "](x)",
                "| a | b |\n|--|--|\n",
                "|",
                "\\",
                "\u{200b}",
                "é",
                "word ",
                "x",
                " ",
                "<b>",
                "&amp;",
            ])
            .prop_map(str::to_owned),
            "\\PC{0,8}".prop_map(|text| text),
            (1..1500usize, proptest::sample::select(vec!["x", "😀", "**b** ", "`c` ", "l\n", "> q\n"]))
                .prop_map(|(times, text)| text.repeat(times)),
        ];
        proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_markdown_fits_shows_something_and_loses_no_word(markdown in markdown()) {
            let posts = posts(&markdown);
            for post in &posts {
                prop_assert!((1..=LONGEST).contains(&units(post)), "{} of {markdown:?}", units(post));
                prop_assert!(!post.trim().is_empty());
            }
            let words = |text: &str| text.chars().filter(|letter| letter.is_alphanumeric()).collect::<String>();
            let read: String = told_links(markdown::read(&markdown)).iter().map(|span| span.text.as_str()).collect();
            prop_assert_eq!(words(&posts.concat()), words(&read));
        }
    }
}
