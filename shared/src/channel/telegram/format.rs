//! Answers as Telegram's HTML. What is written here always parses: every tag is one that Telegram knows, closed in order.
//! <https://core.telegram.org/bots/api#html-style>

use crate::channel::markdown::{self, Mark, Span, Step, units};

/// The longest message, in UTF-16 units of its text without the tags.
const LONGEST: usize = 4096;
/// The most entities of a message; those beyond are shown as plain text.
/// <https://core.telegram.org/api/entities>
const ENTITIES: usize = 100;

/// An answer as the messages that it is sent in.
#[must_use]
pub fn posts(markdown: &str) -> Vec<String> {
    let parts = markdown::parts(markdown::read(markdown), LONGEST, |part| {
        let text: usize = part.iter().map(|span| units(&span.text)).sum();
        let mut entities = 0;
        markdown::walk(part, |step| entities += usize::from(matches!(step, Step::Open(_))));
        text <= LONGEST && entities <= ENTITIES
    });
    parts.iter().map(|part| html(part)).collect()
}

fn html(part: &[Span]) -> String {
    let mut html = String::new();
    markdown::walk(part, |step| match step {
        Step::Open(mark) => match mark {
            Mark::Quote => html.push_str("<blockquote>"),
            Mark::Block(None) => html.push_str("<pre>"),
            Mark::Block(Some(language)) => {
                html.push_str("<pre><code class=\"language-");
                escape(language, &mut html);
                html.push_str("\">");
            }
            Mark::Link(to) => {
                html.push_str("<a href=\"");
                escape(to, &mut html);
                html.push_str("\">");
            }
            Mark::Bold => html.push_str("<b>"),
            Mark::Italic => html.push_str("<i>"),
            Mark::Strike => html.push_str("<s>"),
            Mark::Code => html.push_str("<code>"),
        },
        Step::Text(text) => escape(text, &mut html),
        Step::Close(mark) => html.push_str(match mark {
            Mark::Quote => "</blockquote>",
            Mark::Block(None) => "</pre>",
            Mark::Block(Some(_)) => "</code></pre>",
            Mark::Link(_) => "</a>",
            Mark::Bold => "</b>",
            Mark::Italic => "</i>",
            Mark::Strike => "</s>",
            Mark::Code => "</code>",
        }),
    });
    html
}

fn escape(text: &str, html: &mut String) {
    for letter in text.chars() {
        match letter {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            letter => html.push(letter),
        }
    }
}

/// The text of a message of [`posts`], without its tags.
#[must_use]
pub fn plain(html: &str) -> String {
    let mut pieces = html.split('<');
    let mut text = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        text.push_str(piece.split_once('>').map_or("", |(_, behind)| behind));
    }
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TAGS: [&str; 7] = ["blockquote", "pre", "a", "b", "i", "s", "code"];

    /// Reads a post as Telegram does, and says what is wrong with it: its text and how many entities it has.
    fn read(html: &str) -> Result<(String, usize), String> {
        let (mut text, mut open, mut entities, mut rest) = (String::new(), Vec::<String>::new(), 0, html);
        while let Some(letter) = rest.chars().next() {
            match letter {
                '<' => {
                    let end = rest.find('>').ok_or("a tag without an end")?;
                    let tag = &rest[1..end];
                    if let Some(name) = tag.strip_prefix('/') {
                        let opened = open.pop().ok_or("an end without a beginning")?;
                        if opened != name {
                            return Err(format!("</{name}> ends <{opened}>"));
                        }
                    } else {
                        let (name, attribute) = tag.split_once(' ').unwrap_or((tag, ""));
                        let is_right = match name {
                            "a" => attribute.starts_with("href=\"") && attribute.ends_with('"'),
                            "code" if open.last().is_some_and(|last| last == "pre") => {
                                attribute.starts_with("class=\"language-")
                            }
                            _ => attribute.is_empty(),
                        };
                        if !TAGS.contains(&name) || !is_right {
                            return Err(format!("<{tag}> is none of Telegram's"));
                        }
                        entities += usize::from(attribute.is_empty() || name == "a");
                        open.push(name.to_owned());
                    }
                    rest = &rest[end + 1..];
                }
                '>' | '"' => return Err(format!("{letter} is not escaped")),
                '&' => {
                    let entities = [("&lt;", '<'), ("&gt;", '>'), ("&amp;", '&'), ("&quot;", '"')];
                    let (name, letter) =
                        entities.into_iter().find(|(name, _)| rest.starts_with(name)).ok_or("an unknown entity")?;
                    text.push(letter);
                    rest = &rest[name.len()..];
                }
                letter => {
                    text.push(letter);
                    rest = &rest[letter.len_utf8()..];
                }
            }
        }
        if open.is_empty() { Ok((text, entities)) } else { Err(format!("{open:?} stay open")) }
    }

    fn check(markdown: &str) {
        for post in posts(markdown) {
            let (text, entities) = read(&post).unwrap_or_else(|error| panic!("{error}: {post:?} of {markdown:?}"));
            assert!((1..=LONGEST).contains(&units(&text)) && entities <= ENTITIES, "{} {entities}", units(&text));
            assert!(!text.trim().is_empty() && text.trim_end() == text, "{text:?}");
            assert_eq!(plain(&post), text);
        }
    }

    /// Pieces that Markdown and HTML are made of, and others.
    fn markdown() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            proptest::sample::select(vec![
                "**",
                "*",
                "_",
                "__",
                "~~",
                "`",
                "```",
                "```rust\n",
                "\n",
                "\n\n",
                "> ",
                ">",
                "- ",
                "1. ",
                "  ",
                "    ",
                "# ",
                "[",
                "](",
                ")",
                "](https://a.example/?x=\"<&>)",
                "](javascript:x)",
                "![",
                "<",
                ">",
                "&",
                "&amp;",
                "<b>",
                "</b>",
                "<br>",
                "\"",
                "| a | b |\n|--|--|\n",
                "|",
                "\\",
                "---\n",
                "\t",
                "\u{0}",
                "\u{202e}",
                "\u{200b}",
                "\u{200d}",
                "👩‍👧",
                "é",
                "word ",
                "x",
                " ",
                "- [x] ",
                "<!-- ",
                "\r\n",
                "[a]: tg://x?y\n",
            ])
            .prop_map(str::to_owned),
            "\\PC{0,8}".prop_map(|text| text),
            "[a-z ]{0,200}".prop_map(|text| text),
            (1..1500usize, proptest::sample::select(vec!["x", "😀", "**b** ", "`c` ", "l\n", "> q\n"]))
                .prop_map(|(times, text)| text.repeat(times)),
        ];
        proptest::collection::vec(piece, 0..16).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_markdown_becomes_html_that_parses_and_fits(markdown in markdown()) {
            check(&markdown);
        }

        #[test]
        fn any_text_becomes_html_that_parses_and_fits(text in any::<String>()) {
            check(&text);
        }
    }

    #[test]
    fn an_answer_with_everything_in_it() {
        insta::assert_snapshot!(posts(include_str!("../fixtures/answer.md")).join("\n=====\n"));
    }

    #[test]
    fn a_long_answer_is_cut_between_paragraphs_and_loses_no_word() {
        let paragraph = format!("{}\n\n", "word ".repeat(250).trim());
        let posts = posts(&paragraph.repeat(10));
        assert_eq!(posts.len(), 4);
        for post in &posts {
            assert!(post.starts_with("word") && post.ends_with("word"));
        }
        assert_eq!(posts.iter().flat_map(|post| post.split_whitespace()).count(), 2500);
    }

    #[test]
    fn code_that_is_too_long_is_closed_and_opened_again_between_its_lines() {
        let posts = posts(&format!("```rust\n{}```", "    let x = 1;\n".repeat(600)));
        assert_eq!(posts.len(), 3);
        for post in &posts {
            assert!(post.starts_with("<pre><code class=\"language-rust\">    let x"), "{post}");
            assert!(post.ends_with("let x = 1;</code></pre>"));
        }
        let lines: usize = posts.iter().map(|post| plain(post).lines().count()).sum();
        assert_eq!(lines, 600);
    }

    #[test]
    fn what_has_no_good_place_to_be_cut_is_cut_between_signs() {
        let posts = posts(&"👩‍👩‍👧‍👦".repeat(500));
        assert!(posts.iter().all(|post| post.starts_with('👩') && post.ends_with('👦')));
        assert_eq!(posts.concat(), "👩‍👩‍👧‍👦".repeat(500));
        assert_eq!(super::posts(&"x".repeat(8193)).iter().map(String::len).collect::<Vec<_>>(), [4096, 4096, 1]);
    }

    #[test]
    fn more_entities_than_telegram_shows_go_to_another_message() {
        assert_eq!(posts(&"**b** x ".repeat(100)).len(), 1);
        assert_eq!(posts(&"**b** x ".repeat(101)).len(), 2);
    }

    #[test]
    fn what_shows_nothing_is_not_sent() {
        for nothing in ["", " \n ", "\u{200b}", "[a]: https://a.example", "```\n```", "\u{0}\u{1}"] {
            let posts = posts(nothing);
            assert!(posts.is_empty() || nothing.contains('\u{0}'), "{nothing:?} {posts:?}");
        }
    }
}
