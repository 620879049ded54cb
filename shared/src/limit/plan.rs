//! Plans.

use std::str::FromStr;

use super::Rate;
use crate::store::{TenantItem, UsageItem};

/// What a tenant pays for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// `free`, or `starter`.
    Free,
    /// `pro`.
    Pro,
    /// `enterprise`, or `usage`.
    Enterprise,
}

/// A plan's limit is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanLimit {
    /// The month's tokens are used up.
    #[error("Monthly token limit reached ({})", short(*.0))]
    Tokens(u64),
    /// As many connectors work as the plan has.
    #[error("Connector limit reached ({0})")]
    Connectors(u32),
}

impl Plan {
    /// Tokens a month; `None` for no limit.
    #[must_use]
    pub const fn monthly_tokens(self) -> Option<u64> {
        match self {
            Self::Free => Some(10_000),
            Self::Pro => Some(1_000_000),
            Self::Enterprise => None,
        }
    }

    /// The plan of a tenant. One that is not stored, or whose plan is not known, is on the free one.
    #[must_use]
    pub fn of(tenant: Option<&TenantItem>) -> Self {
        tenant.and_then(|tenant| tenant.plan.parse().ok()).unwrap_or(Self::Free)
    }

    /// Connectors at a time, each a key and those that take its place; `None` for no limit.
    #[must_use]
    pub const fn connectors(self) -> Option<u32> {
        match self {
            Self::Free => Some(1),
            Self::Pro => Some(3),
            Self::Enterprise => None,
        }
    }

    /// An app's requests a minute and a day. The documented `Custom` of the enterprise plan is this where a tenant has no
    /// limits of its own.
    #[must_use]
    pub const fn app_requests(self) -> (u32, u32) {
        match self {
            Self::Free => (60, 1_000),
            Self::Pro => (600, 50_000),
            Self::Enterprise => (6_000, 1_000_000),
        }
    }

    /// The plan's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Pro => "pro",
            Self::Enterprise => "enterprise",
        }
    }
}

/// A plan that is none.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a plan is free (starter), pro or enterprise (usage), not {0:?}")]
pub struct UnknownPlan(String);

impl FromStr for Plan {
    type Err = UnknownPlan;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "free" | "starter" => Ok(Self::Free),
            "pro" => Ok(Self::Pro),
            "enterprise" | "usage" => Ok(Self::Enterprise),
            _ => Err(UnknownPlan(name.to_owned())),
        }
    }
}

/// An app's rates: by minute, and by day.
#[must_use]
pub fn app_rates(tenant: Option<&TenantItem>) -> [Rate; 2] {
    let (minute, day) = Plan::of(tenant).app_requests();
    let own = |own: fn(&TenantItem) -> Option<u32>| tenant.and_then(own);
    [
        Rate::per_minute(own(|tenant| tenant.requests_per_minute).unwrap_or(minute)),
        Rate::per_day(own(|tenant| tenant.requests_per_day).unwrap_or(day)),
    ]
}

/// The tokens that the tenant has left this month; `None` for no limit.
///
/// # Errors
/// Where none are left.
pub fn budget_left(tenant: Option<&TenantItem>, usage: Option<UsageItem>) -> Result<Option<u64>, PlanLimit> {
    let plans = Plan::of(tenant).monthly_tokens();
    let Some(limit) = tenant.and_then(|tenant| tenant.monthly_tokens).or(plans) else {
        return Ok(None);
    };
    let used = usage.map_or(0, |usage| usage.input_tokens + usage.output_tokens);
    match limit.saturating_sub(used) {
        0 => Err(PlanLimit::Tokens(limit)),
        left => Ok(Some(left)),
    }
}

/// `10K`, `1M`, or the number.
fn short(tokens: u64) -> String {
    match tokens {
        0 => "0".to_owned(),
        _ if tokens.is_multiple_of(1_000_000) => format!("{}M", tokens / 1_000_000),
        _ if tokens.is_multiple_of(1_000) => format!("{}K", tokens / 1_000),
        _ => tokens.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::TenantId;

    fn tenant(plan: &str, monthly_tokens: Option<u64>) -> TenantItem {
        TenantItem { plan: plan.to_owned(), monthly_tokens, ..TenantItem::new(TenantId::generate(), 0) }
    }

    fn used(input_tokens: u64, output_tokens: u64) -> Option<UsageItem> {
        Some(UsageItem { input_tokens, output_tokens, ..UsageItem::default() })
    }

    #[test]
    fn input_and_output_count_against_the_plan() {
        assert_eq!(budget_left(Some(&tenant("pro", None)), used(400_000, 599_999)), Ok(Some(1)));
        let reached = budget_left(Some(&tenant("pro", None)), used(400_000, 600_000)).unwrap_err();
        assert_eq!(reached.to_string(), "Monthly token limit reached (1M)");
    }

    #[test]
    fn who_is_not_known_is_on_the_free_plan_and_enterprise_has_no_limit() {
        assert_eq!(budget_left(None, used(10_000, 0)).unwrap_err().to_string(), "Monthly token limit reached (10K)");
        assert_eq!(budget_left(Some(&tenant("gold", None)), None), Ok(Some(10_000)));
        assert_eq!(budget_left(Some(&tenant("usage", None)), used(u64::MAX / 2, 1)), Ok(None));
    }

    #[test]
    fn a_tenants_own_limit_comes_before_its_plans() {
        assert_eq!(
            budget_left(Some(&tenant("enterprise", Some(500))), used(500, 0)).unwrap_err().to_string(),
            "Monthly token limit reached (500)"
        );
    }

    #[test]
    fn an_apps_rates_are_its_plans_or_the_tenants_own() {
        let rates = |minute, day| [Rate::per_minute(minute), Rate::per_day(day)];
        assert_eq!(app_rates(None), rates(60, 1_000));
        assert_eq!(app_rates(Some(&tenant("pro", None))), rates(600, 50_000));
        let own = TenantItem { requests_per_day: Some(7), ..tenant("usage", None) };
        assert_eq!(app_rates(Some(&own)), rates(6_000, 7));
    }
}
