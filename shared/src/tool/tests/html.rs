use std::time::{Duration, Instant};

use super::super::{html, worker};

async fn text(page: String) -> String {
    let (started, page_length) = (Instant::now(), page.len());
    let work = move |_: &worker::Stop| html::to_text(page.as_bytes());
    let text = worker::run(Duration::from_secs(30), html::THREAD_STACK, work).await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    assert!(text.len() <= 10 * page_length, "{} bytes of {page_length}", text.len());
    text
}

#[tokio::test]
async fn a_page_reads_as_its_text_with_its_links() {
    let page = r#"<!doctype html><html><head><title>T</title><style>p { color: red }</style><script>let a = "<p>no</p>"</script></head>
        <body><h1>Orders</h1><p>Your <b>or</b>der is <em>on its way</em>: <a href="https://example.com/track">track it</a>.</p>
        <ul><li>one<li>two</ul><table><tr><th>Name<td>Price</tr><tr><td>Tea<td>3</tr></table>&amp; caf&eacute;</body></html>"#;
    let text = text(page.to_owned()).await;
    for expected in [
        "Orders",
        "Your order is on its way",
        "track it",
        "https://example.com/track",
        "one",
        "two",
        "Tea",
        "3",
        "& café",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    for hidden in ["color", "let a", "no</p>", "<"] {
        assert!(!text.contains(hidden), "{hidden}: {text}");
    }
}

#[tokio::test]
async fn a_page_that_nests_without_end_is_still_read() {
    for tag in [
        "div",
        "span",
        "table><tr><td",
        "ul><li",
        "b",
        "a",
        "font color=red",
        "blockquote",
        "object",
        "optgroup",
        "zzz",
        "template",
        "select",
    ] {
        let page = format!("{}deep", format!("<{tag}>").repeat(30_000));
        assert!(text(page).await.contains("deep"), "{tag}");
    }
    for (open, tag, close) in [
        ("<svg>", "td", "</svg>"),
        ("<math>", "link", "</math>"),
        ("<select>", "optgroup", "</select>"),
        ("<template>", "tr", "</template>"),
        ("<table>", "tbody", "</table>"),
        ("<button>", "p", "</button>"),
        ("<dl>", "dd", "</dl>"),
    ] {
        let page = format!("{open}{}{close}deep", format!("<{tag}>").repeat(30_000));
        assert!(text(page).await.contains("deep"), "{tag}");
    }
}

#[tokio::test]
async fn a_page_cannot_make_more_than_it_was_sent() {
    let bold: String = (0..400).map(|n| format!("<b class={n}>")).collect();
    let pages = [
        format!("<div>{bold}</div>{}end", "<p>x</p>".repeat(5_000)),
        format!("<div>{bold}</b{}></div>{}end", "</zzz>".repeat(400), "<p>x</p>".repeat(5_000)),
        format!("{}end", "<b><p><i>".repeat(5_000)),
        format!("{}end", "<a href=x><p>".repeat(5_000)),
        "<table><tr><td colspan=4000000000 rowspan=4000000000>x<td>y</table>end".to_owned(),
        format!("<table>{}</table>end", "<tr><td rowspan=60000 colspan=1000>x".repeat(5000)),
        format!("<<b>div>{}end", "<<b>b>".repeat(10_000)),
        format!("<{} end", "<".repeat(30_000)),
        format!("{}end", "<a ".repeat(30_000)) + ">end",
        format!("{}>end", "<a<".repeat(30_000)),
        format!("{}>end", "<i <td ".repeat(30_000)),
        format!("{}end", "<!--".repeat(10) + "-->"),
        format!("<p>{}end", "&".repeat(5_000)),
        format!("<p {}>end", "a=b ".repeat(10_000)),
        format!("{}end", "<p>".repeat(20_000)),
        "<pre>\t\t\u{0}\u{1b}[31m</pre>end".to_owned(),
    ];
    for page in pages {
        let start: String = page.chars().take(60).collect();
        assert!(text(page).await.contains("end"), "{start}");
    }
}

#[tokio::test]
async fn a_long_page_is_read_from_its_beginning_whatever_its_scripts_weigh() {
    let paragraph = format!("<p>{}</p>", "word ".repeat(200));
    let page = format!("<script>{}</script><p>start</p>{}end", "let a = 1;".repeat(100_000), paragraph.repeat(600));
    let text = text(page).await;
    assert!(text.starts_with("start") && !text.contains("end"), "{}", text.len());
}

#[test]
fn a_page_can_be_stripped_of_its_tags() {
    let page = "<style>p{}</style><h1 class=a>One</h1>two<br>three<script>if (a < b) '<p>'</script> 3 < 4 <unclosed";
    assert_eq!(html::strip(page.as_bytes()), "One two three 3 < 4");
}
