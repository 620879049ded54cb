use std::time::{Duration, Instant};

use super::super::{html, worker};

async fn text(page: String) -> String {
    let started = Instant::now();
    let time = Duration::from_secs(30);
    let text = worker::run(time, html::THREAD_STACK, move |_| html::to_text(page.as_bytes())).await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
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
        "svg",
        "zzz",
        "template",
        "select",
        "math><mi",
    ] {
        let page = format!("{}deep", format!("<{tag}>").repeat(100_000));
        assert!(text(page).await.contains("deep"), "{tag}");
    }
}

#[tokio::test]
async fn a_page_cannot_make_more_than_it_was_sent() {
    let bold: String = (0..400).map(|n| format!("<b class={n}>")).collect();
    let pages = [
        format!("<div>{bold}</div>{}end", "<p>x</p>".repeat(50_000)),
        format!("<div>{bold}</b{}></div>{}end", "</zzz>".repeat(400), "<p>x</p>".repeat(50_000)),
        format!("{}end", "<b><p><i>".repeat(50_000)),
        format!("{}end", "<a href=x><p>".repeat(50_000)),
        "<table><tr><td colspan=4000000000 rowspan=4000000000>x<td>y</table>end".to_owned(),
        format!("<table>{}</table>end", "<tr><td rowspan=60000 colspan=1000>x".repeat(2000)),
        "<ol start=9223372036854775807><li>x<li>y</ol>end".to_owned(),
        "<ol start=-9223372036854775808><li>x<li>y</ol>end".to_owned(),
        format!("<<b>div>{}end", "<<b>b>".repeat(10_000)),
        format!("<{}end", "<".repeat(1_000_000)),
        format!("{}end", "<!--".repeat(10) + "-->"),
        format!("<p>{}end", "&".repeat(500_000)),
        format!("<p {}>end", "a=b ".repeat(200_000)),
        format!("{}end", "<p>".repeat(200_000)),
        "<pre>\t\t\u{0}\u{1b}[31m</pre>end".to_owned(),
    ];
    for page in pages {
        let start: String = page.chars().take(60).collect();
        assert!(text(page).await.contains("end"), "{start}");
    }
}
