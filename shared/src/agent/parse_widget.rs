//! The widget's settings in an agent's document.

use super::document::{WidgetColors, WidgetPosition, WidgetScheme, WidgetSettings, WidgetTheme};
use super::error::Problems;
use super::field::{Field, Group};
use super::origin;
use super::parse::each;

const MOST_ORIGINS: usize = 64;
const POSITIONS: &[(&str, WidgetPosition)] =
    &[("bottom-right", WidgetPosition::BottomRight), ("bottom-left", WidgetPosition::BottomLeft)];
const SCHEMES: &[(&str, WidgetScheme)] =
    &[("auto", WidgetScheme::Auto), ("light", WidgetScheme::Light), ("dark", WidgetScheme::Dark)];

/// Reads `widget`.
pub(super) fn widget(field: &Field<'_>, problems: &mut Problems) -> WidgetSettings {
    const FIELDS: &[&str] =
        &["enabled", "title", "welcome_message", "position", "show_powered_by", "allowed_origins", "theme"];
    let mut widget = WidgetSettings::default();
    let Some(group) = field.group(FIELDS, problems) else { return widget };
    if let Some(enabled) = group.field("enabled").and_then(|field| field.truth(problems)) {
        widget.enabled = enabled;
    }
    widget.title = group.field("title").and_then(|field| title(&field, problems));
    if let Some(message) = group.field("welcome_message").and_then(|field| field.text(0..=1_000, problems)) {
        widget.welcome_message = message.to_owned();
    }
    if let Some(position) = group.field("position").and_then(|field| field.choice(POSITIONS, problems)) {
        widget.position = position;
    }
    if let Some(shown) = group.field("show_powered_by").and_then(|field| field.truth(problems)) {
        widget.show_powered_by = shown;
    }
    widget.allowed_origins = each(&group, "allowed_origins", MOST_ORIGINS, problems, allowed_origin);
    if let Some(theme) = group.field("theme").and_then(|field| theme(&field, problems)) {
        widget.theme = theme;
    }
    widget
}

fn title(field: &Field<'_>, problems: &mut Problems) -> Option<String> {
    let title = field.text(1..=80, problems)?.trim();
    let fits = !title.is_empty() && !title.chars().any(char::is_control);
    if !fits {
        field.problem(problems, "must be a name in one line, for example Support");
    }
    fits.then(|| title.to_owned())
}

fn theme(field: &Field<'_>, problems: &mut Problems) -> Option<WidgetTheme> {
    let group = field.group(&["scheme", "colors"], problems)?;
    let scheme = group.field("scheme").and_then(|field| field.choice(SCHEMES, problems)).unwrap_or_default();
    let colors = group.field("colors").and_then(|field| colors(&field, problems)).unwrap_or_default();
    Some(WidgetTheme { scheme, colors })
}

fn colors(field: &Field<'_>, problems: &mut Problems) -> Option<WidgetColors> {
    let group = field.group(&["accent", "background", "text"], problems)?;
    let mut color = |key| color(&group, key, problems);
    Some(WidgetColors { accent: color("accent"), background: color("background"), text: color("text") })
}

/// A colour, in lower case. What is left empty is told: YAML takes `#` without quotes for the start of a comment.
fn color(group: &Group<'_>, key: &str, problems: &mut Problems) -> Option<String> {
    const WANTED: &str = "must be a colour in quotes, for example \"#1a6b5c\"";
    if let Some(line) = group.blank(key) {
        problems.add(line, group.path_of(key), WANTED);
    }
    let field = group.field(key)?;
    let color = field.text(1..=100, problems)?.to_ascii_lowercase();
    let fits = color
        .strip_prefix('#')
        .is_some_and(|digits| digits.len() == 6 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    if !fits {
        field.problem(problems, WANTED);
    }
    fits.then_some(color)
}

fn allowed_origin(field: &Field<'_>, problems: &mut Problems) -> Option<String> {
    let origin = origin::normalise(field.text(1..=300, problems)?);
    if origin.is_none() {
        field.problem(
            problems,
            "must be scheme://host or scheme://host:port without a path, for example https://example.com",
        );
    }
    origin
}
