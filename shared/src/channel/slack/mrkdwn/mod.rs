//! Markdown as Slack's mrkdwn, in posts. <https://docs.slack.dev/messaging/formatting-message-text>
//!
//! The document becomes blocks of lines of runs, each run with a style of its own: what opens in a run is closed in it, so
//! that a post may end between any two. All text is escaped; only links to known schemes stand between `<` and `>`, so
//! that nothing in a text can mention anybody.

mod pack;
mod read;
mod run;

/// How long a post is at most, in characters. Slack takes ten times as much, and advises this.
/// <https://docs.slack.dev/reference/methods/chat.postMessage#truncating>
pub const LONGEST_POST: usize = 4_000;

/// The posts of a text, none of them empty; none where it has nothing to show.
#[must_use]
pub fn posts(markdown: &str) -> Vec<String> {
    pack::posts(&read::blocks(markdown), LONGEST_POST)
}

#[cfg(test)]
mod tests;
