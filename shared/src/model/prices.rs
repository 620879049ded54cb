//! What a call costs by the providers' public list prices.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

use super::{ModelName, Usage};

/// US dollars per million tokens.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Price {
    input: f64,
    output: f64,
    cache_read: f64,
    cache_write: f64,
}

static PRICES: LazyLock<BTreeMap<String, Price>> =
    LazyLock::new(|| serde_json::from_str(include_str!("prices.json")).unwrap_or_default());

/// The cost of a call in US dollars at list price, without discounts or commission; nothing for a model whose price is
/// not known. Cached tokens have prices of their own; surcharges for very long prompts are not counted.
#[must_use]
pub fn cost(model: &ModelName, usage: &Usage) -> Option<f64> {
    let price = price(&model.to_string())?;
    let cached = usage.cache_read_tokens.saturating_add(usage.cache_write_tokens);
    let sum = price.input * tokens(usage.input_tokens.saturating_sub(cached))
        + price.cache_read * tokens(usage.cache_read_tokens)
        + price.cache_write * tokens(usage.cache_write_tokens)
        + price.output * tokens(usage.output_tokens);
    Some(sum / 1e6)
}

#[expect(clippy::cast_precision_loss, reason = "no call has 2^53 tokens")]
const fn tokens(count: u64) -> f64 {
    count as f64
}

/// The price under the longest key that the name continues only by a date or `-latest`, or at will after a slash.
fn price(name: &str) -> Option<Price> {
    let matches =
        |(key, _): &(&String, &Price)| name.strip_prefix(key.as_str()).is_some_and(|rest| continues(key, rest));
    PRICES.iter().filter(matches).max_by_key(|(key, _)| key.len()).map(|(_, price)| *price)
}

fn continues(key: &str, rest: &str) -> bool {
    let is_date = |rest: &str| rest.len() >= 4 && rest.bytes().take(4).all(|byte| byte.is_ascii_digit());
    key.ends_with('/') || rest.is_empty() || rest == "-latest" || rest.strip_prefix('-').is_some_and(is_date)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLION: Usage =
        Usage { input_tokens: 1_000_000, output_tokens: 1_000_000, cache_read_tokens: 0, cache_write_tokens: 0 };

    fn cost_of_a_million(name: &str) -> Option<f64> {
        cost(&name.parse().unwrap(), &MILLION)
    }

    #[test]
    fn every_price_can_be_read_and_makes_sense() {
        assert!(PRICES.len() > 20);
        for (name, price) in PRICES.iter() {
            assert!(price.input <= price.output && price.cache_read <= price.input, "{name}");
            assert!(price.input >= 0.0 && price.cache_write >= price.input, "{name}");
        }
    }

    #[test]
    fn a_dated_model_costs_what_its_family_does() {
        assert_eq!(cost_of_a_million("anthropic/claude-sonnet-4-5-20250929"), Some(18.0));
        assert_eq!(cost_of_a_million("anthropic/claude-sonnet-4-5"), Some(18.0));
        assert_eq!(cost_of_a_million("openai/gpt-4o-2024-08-06"), Some(12.5));
        assert_eq!(cost_of_a_million("openai/gpt-4o-mini"), Some(0.75));
    }

    #[test]
    fn a_model_that_is_not_listed_has_no_price() {
        for name in [
            "openai/gpt-4o-audio-preview",
            "openai/gpt-4.5",
            "anthropic/claude-opus-4-99",
            "groq/x",
            "openai/gpt-5-unheard-of",
        ] {
            assert_eq!(cost_of_a_million(name), None, "{name}");
        }
    }

    #[test]
    fn demo_and_local_models_cost_nothing() {
        assert_eq!(cost_of_a_million("demo/echo"), Some(0.0));
        assert_eq!(cost_of_a_million("ollama/llama3.2:3b"), Some(0.0));
    }

    #[test]
    fn cached_tokens_have_their_own_price() {
        let usage = Usage {
            input_tokens: 1_000_000,
            cache_read_tokens: 500_000,
            cache_write_tokens: 400_000,
            output_tokens: 0,
        };
        let cost = cost(&"anthropic/claude-sonnet-4-5".parse().unwrap(), &usage).unwrap();
        assert!((cost - (0.1 * 3.0 + 0.5 * 0.3 + 0.4 * 3.75)).abs() < 1e-9, "{cost}");
    }
}
