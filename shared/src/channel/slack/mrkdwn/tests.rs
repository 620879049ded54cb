use proptest::prelude::*;
use pulldown_cmark::{Event, Options, Parser};

use super::*;

fn one(markdown: &str) -> String {
    let posts = posts(markdown);
    assert!(posts.len() <= 1, "{posts:?}");
    posts.into_iter().next().unwrap_or_default()
}

#[test]
fn each_mark_becomes_slacks() {
    for (markdown, expected) in [
        ("**bold** and __bold__", "*bold* and *bold*"),
        ("*italic* and _italic_", "_italic_ and _italic_"),
        ("***both*** ~~gone~~", "*_both_* ~gone~"),
        ("**bold *both* bold**", "*bold* *_both_* *bold*"),
        ("`a * b & c` **`x`**", "`a * b &amp; c` *`x`*"),
        ("``a ` b``", "`a ˋ b`"),
        ("# Title **bold**\n\nText", "*Title bold*\n\nText"),
        ("one\ntwo  \nthree<br>four", "one\ntwo\nthree\nfour"),
        ("---", "———"),
        ("> quoted\n> *twice*\n>\n> more", "> quoted\n> _twice_\n\n> more"),
        ("- [x] done\n- [ ] open", "☑ done\n☐ open"),
        ("- a\n- b\n  - c\n    1. d\n    2. e\n- f", "• a\n• b\n    • c\n        1. d\n        2. e\n• f"),
        ("3. c\n4. d", "3. c\n4. d"),
        ("- a\n\n  more of a\n- b", "• a\n   more of a\n• b"),
        ("```rust\nfn main() { a && b < c }\n```", "```\nfn main() { a &amp;&amp; b &lt; c }\n```"),
        ("- a\n  ```\n  code\n  ```\n- b", "• a\n```\ncode\n```\n• b"),
        ("| A | B |\n|---|---|\n| 1 | **2** |\n| | 4 |", "*A*: 1 · *B*: *2*\n*B*: 4"),
        ("| A | B |\n|---|---|", "*A* · *B*"),
        ("a\n```\n", "a"),
        ("", ""),
        ("\n \n", ""),
    ] {
        assert_eq!(one(markdown), expected, "{markdown}");
    }
}

#[test]
fn links_lead_to_known_schemes_alone() {
    for (markdown, expected) in [
        ("[page](https://a.example/?x=1&y=2)", "<https://a.example/?x=1&amp;y=2|page>"),
        ("**[page](https://a.example)**", "*<https://a.example|page>*"),
        ("<https://a.example>", "<https://a.example>"),
        ("<a@b.example>", "<mailto:a@b.example>"),
        ("![a cat](https://a.example/cat.png)", "<https://a.example/cat.png|a cat>"),
        ("![](https://a.example/cat.png)", "<https://a.example/cat.png>"),
        ("[run](javascript:alert(1)) [here](/docs) [x](!channel)", "run here x"),
        ("[<!channel>](https://a.example)", "<https://a.example|&lt;!channel&gt;>"),
    ] {
        assert_eq!(one(markdown), expected, "{markdown}");
    }
}

#[test]
fn an_address_cannot_leave_its_link() {
    for url in ["https://a.example/|x", "https://a.example/>x", "https://a.example/<!channel>", "https://a.example/ x"]
    {
        let post = one(&format!("[label](<{}>)", url.replace('<', "\\<").replace('>', "\\>")));
        assert_eq!(post.matches(['<', '>', '|']).count(), 3, "{post}");
        assert!(post.starts_with("<https://a.example/") && post.ends_with("|label>"), "{post}");
    }
    assert_eq!(one(&format!("[x](https://a.example/{})", "a".repeat(2000))), "x");
}

#[test]
fn no_text_can_mention_anybody() {
    for text in [
        "<!channel>",
        "<@U0ADA>",
        "<#C1>",
        "<!subteam^S1>",
        "`<!here>`",
        "```\n<!here>\n```",
        "\\<!here>",
        "&lt;!here&gt;",
    ] {
        let post = one(text);
        assert!(!post.contains('<') && post.contains("&lt;"), "{post}");
    }
}

#[test]
fn what_only_looks_like_a_mark_stays_what_it_is() {
    assert_eq!(one("5 * 3 * 2, a*b, snake_case_name"), "5 * 3 * 2, a*b, snake_case_name");
    assert_eq!(one(r"\*not bold\*"), "*\u{2060}not bold*\u{2060}");
    assert_eq!(one("un**believ**able"), "un\u{200b}*believ*\u{200b}able");
    assert_eq!(one("**Note**: x"), "*Note*: x");
}

#[test]
fn a_long_code_block_is_closed_and_opened_again() {
    let code: String = (0..600).map(|line| format!("line {line}\n")).collect();
    let posts = posts(&format!("Before\n\n```\n{code}```\n\nAfter"));
    assert!(posts.len() == 2 && posts[1].ends_with("```\n\nAfter"), "{posts:?}");
    for post in &posts {
        assert_eq!(post.matches("```").count(), 2, "{post}");
    }
    let lines: Vec<_> = posts.iter().flat_map(|post| post.lines()).filter(|line| line.starts_with("line")).collect();
    assert_eq!(lines.len(), 600);
}

#[test]
fn a_post_ends_between_paragraphs_where_it_can_and_between_words_elsewhere() {
    let paragraph = "word ".repeat(300);
    let posts = posts(&format!("{paragraph}\n\n{paragraph}\n\n{paragraph}"));
    assert_eq!(posts.len(), 2);
    assert_eq!(posts[1], paragraph.trim());
    let bold = super::posts(&format!("**{}**", "word ".repeat(2000).trim()));
    assert_eq!(bold.len(), 3);
    for post in &bold {
        assert!(post.starts_with("*word") && post.ends_with("word*") && post.len() <= LONGEST_POST, "{post}");
    }
    let one_word = super::posts(&"&".repeat(3000));
    assert_eq!(one_word.concat(), "&amp;".repeat(3000));
}

#[test]
fn a_document_of_everything_looks_so() {
    insta::assert_snapshot!(posts(include_str!("everything.md")).join("\n=== the next post ===\n"));
}

/// What a person sees of a post: letters and digits, without the addresses of links.
fn seen(post: &str) -> String {
    let mut text = String::new();
    let mut rest = post;
    while let Some((before, behind)) = rest.split_once('<') {
        let (link, after) = behind.split_once('>').unwrap();
        text.push_str(before);
        text.push_str(link.split_once('|').map_or("", |(_, label)| label));
        rest = after;
    }
    text.push_str(rest);
    let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    text.chars().filter(|letter| letter.is_alphanumeric() && *letter != 'ˋ').collect()
}

/// What a reader of Markdown sees of it, but for tables and numbers of lists.
fn meant(markdown: &str) -> String {
    let options = Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TABLES | Options::ENABLE_TASKLISTS;
    let mut text = String::new();
    for event in Parser::new_ext(markdown, options) {
        match event {
            Event::Text(more) | Event::Code(more) | Event::Html(more) | Event::InlineHtml(more) => text.push_str(&more),
            _ => {}
        }
    }
    text.chars().filter(|letter| letter.is_alphanumeric() && *letter != 'ˋ').collect()
}

fn check(post: &str) {
    assert!(!post.trim().is_empty());
    assert!(post.chars().count() <= LONGEST_POST, "{} characters", post.chars().count());
    assert_eq!(post.matches("```").count() % 2, 0, "{post}");
    let mut rest = post;
    while let Some((_, behind)) = rest.split_once('<') {
        let (link, after) = behind.split_once('>').unwrap_or_else(|| panic!("an open link: {post}"));
        assert!(
            ["https://", "http://", "mailto:", "tel:"].iter().any(|scheme| link.to_lowercase().starts_with(scheme)),
            "{link}"
        );
        assert!(!link.contains('<'), "{link}");
        rest = after;
    }
    for (place, _) in post.match_indices('&') {
        assert!(["&amp;", "&lt;", "&gt;"].iter().any(|entity| post[place..].starts_with(entity)), "{post}");
    }
}

fn markdown() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[a-z0-9 ]{0,12}",
        "\\PC{0,6}",
        prop::sample::select(vec![
            "**",
            "*",
            "_",
            "__",
            "~~",
            "`",
            "``",
            "```",
            "\n",
            "\n\n",
            "> ",
            "- ",
            "1. ",
            "- [x] ",
            "# ",
            "---\n",
            "    ",
            "| a | b |\n|---|---|\n| 1 | 2 |\n",
            "[",
            "](https://a.example/?a=1&b=2)",
            "](x)",
            "![",
            "<!channel>",
            "<@U1>",
            "<https://b.example>",
            "<b>",
            "<br>",
            "&lt;!here&gt;",
            "&",
            "<",
            ">",
            "|",
            "\\",
            "  \n",
            "\t",
            "```\n",
        ])
        .prop_map(str::to_owned),
        (1..3000_usize).prop_map(|length| "long ".repeat(length / 5)),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn any_markdown_becomes_posts_that_slack_reads_as_they_are_meant(markdown in markdown()) {
        for post in posts(&markdown) {
            check(&post);
        }
    }

    #[test]
    fn nothing_is_lost_and_nothing_said_twice(markdown in markdown()) {
        prop_assume!(!markdown.contains('|') && !markdown.contains("1.") && !markdown.contains("![]") && !markdown.contains("[]"));
        prop_assume!(!markdown.contains("<https") && !markdown.to_lowercase().contains("<br"));
        let told: String = posts(&markdown).iter().map(|post| seen(post)).collect();
        prop_assert_eq!(told, meant(&markdown));
    }
}
