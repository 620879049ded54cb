//! `GET /v1/apps/{app_id}/analytics/usage`: what an app used, by day, agent and model.

use std::collections::BTreeMap;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use jiff::civil::Date;
use jiff::{Span, ToSpan};
use serde::Serialize;
use shared::app::App;
use shared::dialect::app::ErrorResponse;
use shared::dialect::{self, Dialect};
use shared::http::{self, ApiError, Cors, Exchange, Fields, InPath, Request, StatusCode, in_the_query, parameters};
use shared::store::AppUsageItem;
use utoipa::{IntoParams, OpenApi, ToSchema};

const FUNCTION: &str = "app-usage";
const PATH: &str = "/v1/apps/{app_id}/analytics/usage";
/// How many days are told where none are named.
const USUAL_DAYS: i64 = 30;
/// How many days are told at most.
const MOST_DAYS: i32 = 366;

/// This function's part of the OpenAPI description. Answering a request takes none of it.
#[derive(Debug, OpenApi)]
#[openapi(paths(read))]
pub struct ApiDoc;

/// The routes of this function.
pub fn routes() -> Router<App> {
    Router::new().route(PATH, get(read).fallback(other_method))
}

/// What is asked for.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
struct UsageQuery {
    /// The first day, in UTC; 29 days before the last one where it is not set.
    #[param(value_type = Option<String>, format = "date")]
    from: Date,
    /// The last day, in UTC; today where it is not set. At most 366 days are told.
    #[param(value_type = Option<String>, format = "date")]
    to: Date,
    /// What the rows are about: `day`, `agent` or `model`.
    #[param(value_type = Option<String>, pattern = "^(day|agent|model)$")]
    group_by: Group,
}

/// What rows are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Group {
    Day,
    Agent,
    Model,
}

impl Group {
    const NAMES: [&str; 3] = ["day", "agent", "model"];

    fn name(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Agent => "agent",
            Self::Model => "model",
        }
    }
}

impl UsageQuery {
    fn read(query: &str, today: Date) -> Result<Self, ApiError> {
        let object = parameters(query);
        let mut fields = Fields::of(&object);
        let mut day = |name: &str| -> Option<Date> {
            let text = fields.optional_string(name, 0..=32)?;
            // Only `yyyy-mm-dd`, of all that could be a day.
            let day = text.parse().ok().filter(|_| text.len() == 10);
            if day.is_none() {
                fields.wrong(name, "Invalid date");
            }
            day
        };
        let (from, to) = (day("from"), day("to"));
        let to = to.unwrap_or(today);
        let usual: Span = (USUAL_DAYS - 1).days();
        let from = from.unwrap_or_else(|| to.saturating_sub(usual));
        if from > to {
            fields.wrong("from", "It must not be after to");
        } else if (to - from).get_days() >= MOST_DAYS {
            fields.wrong("from", &format!("At most {MOST_DAYS} days are told at once"));
        }
        let group_by = match fields.optional_word("group_by", &Group::NAMES) {
            Some("agent") => Group::Agent,
            Some("model") => Group::Model,
            _ => Group::Day,
        };
        fields.finish().map_err(in_the_query)?;
        Ok(Self { from, to, group_by })
    }
}

/// What an app used.
#[derive(Debug, Serialize, ToSchema)]
struct UsageResponse {
    /// The first day.
    #[schema(format = "date")]
    from: String,
    /// The last day.
    #[schema(format = "date")]
    to: String,
    /// What the rows are about.
    #[schema(pattern = "^(day|agent|model)$")]
    group_by: &'static str,
    /// A row for each day, agent or model with any usage, by its name.
    data: Vec<UsageRow>,
    /// All of it.
    total: Used,
}

/// What one day, agent or model took.
#[derive(Debug, Serialize, ToSchema)]
struct UsageRow {
    /// The day, where the rows are about days.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = "date")]
    day: Option<String>,
    /// The agent, where they are about agents.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    agent: Option<String>,
    /// The model, where they are about models.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    model: Option<String>,
    #[serde(flatten)]
    used: Used,
}

/// What was used.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
struct Used {
    /// Messages that were answered.
    turns: u64,
    /// Tokens read by models.
    input_tokens: u64,
    /// Tokens written by models.
    output_tokens: u64,
    /// The price in US dollars by the providers' lists; models whose price is not known count nothing.
    estimated_cost: f64,
}

impl Used {
    fn of(items: &[&AppUsageItem]) -> Self {
        let sum = |value: fn(&AppUsageItem) -> u64| items.iter().map(|item| value(item)).sum::<u64>();
        #[expect(clippy::cast_precision_loss, reason = "a price is far below 2^53 millionths")]
        let estimated_cost = sum(|item| item.cost_micros) as f64 / 1_000_000.0;
        Self {
            turns: sum(|item| item.turns),
            input_tokens: sum(|item| item.input_tokens),
            output_tokens: sum(|item| item.output_tokens),
            estimated_cost,
        }
    }
}

impl UsageResponse {
    fn new(query: &UsageQuery, items: &[AppUsageItem]) -> Self {
        let mut groups: BTreeMap<&str, Vec<&AppUsageItem>> = BTreeMap::new();
        for item in items {
            let name = match query.group_by {
                Group::Day => &item.day,
                Group::Agent => &item.agent_name,
                Group::Model => &item.model,
            };
            groups.entry(name).or_default().push(item);
        }
        let row = |(name, items): (&str, Vec<&AppUsageItem>)| {
            let named = |group: Group| (query.group_by == group).then(|| name.to_owned());
            UsageRow {
                day: named(Group::Day),
                agent: named(Group::Agent),
                model: named(Group::Model),
                used: Used::of(&items),
            }
        };
        Self {
            from: query.from.to_string(),
            to: query.to.to_string(),
            group_by: query.group_by.name(),
            data: groups.into_iter().map(row).collect(),
            total: Used::of(&items.iter().collect::<Vec<_>>()),
        }
    }
}

/// Tells what an app used in a stretch of days, kept for 400 days. Usage of turns that failed counts, the turns do not.
#[utoipa::path(
    get, path = PATH, tag = "analytics", operation_id = "getUsage",
    params(("app_id" = String, Path, description = "The app's id"), UsageQuery),
    responses(
        (status = 200, body = UsageResponse),
        (status = 400, body = ErrorResponse), (status = 401, body = ErrorResponse), (status = 404, body = ErrorResponse),
        (status = 413, body = ErrorResponse), (status = 429, body = ErrorResponse), (status = 500, body = ErrorResponse),
    ),
)]
async fn read(State(app): State<App>, id: InPath<String>, request: Request) -> Response {
    Exchange::answer((Dialect::App, FUNCTION, Cors::None), request, async |exchange| {
        answer(&app, &http::named(id), exchange).await
    })
    .await
}

async fn answer(app: &App, id: &str, exchange: &mut Exchange) -> Result<Response, ApiError> {
    let caller = exchange.check_app(id).by(app.gatekeeper()).await?;
    exchange.set_rate(app.admissions().take(&caller.pass).await?);
    let today = app.clock().now().to_zoned(jiff::tz::TimeZone::UTC).date();
    let query = UsageQuery::read(exchange.query(), today)?;
    let (project, days) = (&caller.project, (query.from.to_string(), query.to.to_string()));
    let items = app.store().app_usage(&project.tenant, &project.id, (&days.0, &days.1)).await?;
    Ok(dialect::json(StatusCode::OK, &UsageResponse::new(&query, &items)))
}

async fn other_method(request: Request) -> Response {
    Exchange::answer_other_method((Dialect::App, FUNCTION, Cors::None), request, "GET").await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<(String, String, Group), Vec<String>> {
        let read = UsageQuery::read(query, jiff::civil::date(2026, 3, 25));
        read.map(|query| (query.from.to_string(), query.to.to_string(), query.group_by)).map_err(|error| error.details)
    }

    #[test]
    fn thirty_days_up_to_today_are_told_by_day_where_nothing_is_said() {
        assert_eq!(read(""), Ok(("2026-02-24".into(), "2026-03-25".into(), Group::Day)));
        assert_eq!(
            read("from=2026-01-01&to=2026-01-01&group_by=model"),
            Ok(("2026-01-01".into(), "2026-01-01".into(), Group::Model))
        );
    }

    #[test]
    fn what_is_no_stretch_of_days_is_refused() {
        for (query, problem) in [
            ("from=yesterday", "from: Invalid date"),
            ("to=2026-02-30", "to: Invalid date"),
            ("from=2026-03-26", "from: It must not be after to"),
            ("from=2024-01-01&to=2026-01-01", "from: At most 366 days are told at once"),
            ("group_by=week", "group_by: Invalid enum value"),
        ] {
            assert_eq!(read(query), Err(vec![problem.to_owned()]), "{query}");
        }
    }
}
