//! A message's text as a person reads it: without the mention of the bot, and without Slack's marks.
//! <https://docs.slack.dev/messaging/formatting-message-text#retrieving-messages>

/// Whether a text mentions the bot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mention {
    /// It does.
    Yes,
    /// It does not.
    No,
}

/// The text, and whether it mentions the user `bot`.
pub(super) fn read(text: &str, bot: &str) -> (String, Mention) {
    let mut read = String::with_capacity(text.len());
    let mut mention = Mention::No;
    let mut rest = text;
    while let Some((before, (mark, after))) =
        rest.split_once('<').and_then(|(before, behind)| Some((before, behind.split_once('>')?)))
    {
        read.push_str(&unescape(before));
        rest = after;
        if is_user(mark, bot) {
            mention = Mention::Yes;
            if read.is_empty() || read.ends_with(char::is_whitespace) {
                rest = rest.trim_start_matches(' ');
            }
        } else {
            read.push_str(&unescape(&shown(mark)));
        }
    }
    read.push_str(&unescape(rest));
    (read.trim().to_owned(), mention)
}

/// Whether what stands between `<` and `>` is this user.
fn is_user(mark: &str, user: &str) -> bool {
    let named = mark.strip_prefix('@').map(|rest| rest.split_once('|').map_or(rest, |(id, _)| id));
    named == Some(user)
}

/// What stands between `<` and `>`, as it is shown.
fn shown(mark: &str) -> String {
    let (target, label) = match mark.split_once('|') {
        Some((target, label)) => (target, Some(label).filter(|label| !label.is_empty())),
        None => (mark, None),
    };
    let of = |sign: &str, id: &str| match label {
        Some(label) if label.starts_with(sign) => label.to_owned(),
        Some(label) => format!("{sign}{label}"),
        None => format!("{sign}{id}"),
    };
    if let Some(user) = target.strip_prefix('@') {
        return of("@", user);
    }
    if let Some(channel) = target.strip_prefix('#') {
        return of("#", channel);
    }
    if let Some(special) = target.strip_prefix('!') {
        return match special.split_once('^') {
            Some(("date", _)) => label.unwrap_or_default().to_owned(),
            Some((_, id)) => of("@", id),
            None => of("@", special),
        };
    }
    match label {
        Some(label) if target.strip_prefix("mailto:") == Some(label) => label.to_owned(),
        Some(label) if target.ends_with(label) || label == target => target.to_owned(),
        Some(label) => format!("{label} ({target})"),
        None => target.to_owned(),
    }
}

/// Slack escapes these three, and no others.
fn unescape(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_shown_as_a_person_sees_them() {
        for (text, expected) in [
            ("<@UBOT> where is order 7?", "where is order 7?"),
            ("hey <@UBOT|orrery>, where?", "hey , where?"),
            ("where is it, <@UBOT>", "where is it,"),
            ("<@UBOT>", ""),
            ("ask <@U0ADA> or <@U0BOB|bob> in <#C1|general> and <#C2>", "ask @U0ADA or @bob in #general and #C2"),
            ("<!here> <!channel|channel> <!subteam^S1|@ops> <!subteam^S2>", "@here @channel @ops @S2"),
            ("<!date^1392734382^{date}|18 Feb 2014>", "18 Feb 2014"),
            (
                "<https://a.example/?x=1&amp;y=2> <https://a.example|a.example> <https://a.example|our page>",
                "https://a.example/?x=1&y=2 https://a.example our page (https://a.example)",
            ),
            ("<mailto:a@b.example|a@b.example>", "a@b.example"),
            ("a &lt;b&gt; &amp;amp; c", "a <b> &amp; c"),
            ("1 < 2 and <", "1 < 2 and <"),
            ("line\n<@UBOT> line", "line\nline"),
        ] {
            assert_eq!(read(text, "UBOT").0, expected, "{text}");
        }
    }

    #[test]
    fn only_the_bots_own_mention_counts() {
        for (text, expected) in [
            ("<@UBOT> hi", Mention::Yes),
            ("hi <@UBOT|x>", Mention::Yes),
            ("<@UBOTTOM> hi", Mention::No),
            ("&lt;@UBOT&gt; hi", Mention::No),
            ("@UBOT hi", Mention::No),
        ] {
            assert_eq!(read(text, "UBOT").1, expected, "{text}");
        }
    }
}
