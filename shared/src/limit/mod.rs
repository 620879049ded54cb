//! How much a caller may do: rate limits by token bucket, plans and their monthly budgets.

mod bucket;
mod limiter;
mod plan;

pub use bucket::{Rate, RateStatus, Verdict, Window, take};
pub use limiter::{Bucket, LimitError, Limiter};
pub use plan::{Plan, PlanLimit, UnknownPlan, app_rates, budget_left};
