//! Transactions that come again under the same token, within ten minutes, are answered and not repeated.
//! <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html#API_TransactWriteItems_RequestParameters>
//!
//! The database can do that too, but looks through all tokens of ten minutes at each transaction.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use dynoxide::DynoxideError;
use serde::Serialize;

/// How long a token is known.
const KNOWN: Duration = Duration::from_secs(10 * 60);

/// The tokens of transactions that were carried out.
#[derive(Default)]
pub(crate) struct Tokens(Mutex<Known>);

#[derive(Default)]
struct Known {
    /// What came with each token, hashed, and its answer.
    answers: HashMap<String, (u64, String)>,
    /// The tokens in the order in which they came.
    order: VecDeque<(Instant, String)>,
}

impl Tokens {
    /// Runs a transaction with this [`content`], unless one of this token was carried out: then that one's answer is
    /// given. Of two at once, one waits for the other.
    pub(crate) fn once(
        &self,
        token: String,
        content: u64,
        run: impl FnOnce() -> Result<String, DynoxideError>,
    ) -> Result<String, DynoxideError> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.forget(KNOWN);
        match known.answers.get(&token) {
            Some((same, answer)) if *same == content => Ok(answer.clone()),
            Some(_) => Err(DynoxideError::IdempotentParameterMismatchException(
                "The token came before, with another transaction".to_owned(),
            )),
            None => {
                let answer = run()?;
                known.order.push_back((Instant::now(), token.clone()));
                known.answers.insert(token, (content, answer.clone()));
                Ok(answer)
            }
        }
    }
}

impl Known {
    /// Forgets the tokens that are older than this.
    fn forget(&mut self, age: Duration) {
        while let Some((_, token)) = self.order.pop_front_if(|(came, _)| came.elapsed() > age) {
            self.answers.remove(&token);
        }
    }
}

/// What a transaction writes, hashed: the same in whatever order its maps are.
pub(crate) fn content(writes: &impl Serialize) -> Result<u64, DynoxideError> {
    let writes = serde_json::to_value(writes).map_err(|error| DynoxideError::InternalServerError(error.to_string()))?;
    let mut hasher = DefaultHasher::new();
    writes.hash(&mut hasher);
    Ok(hasher.finish())
}

#[cfg(test)]
mod tests {
    use dynoxide::actions::transact_write_items::TransactWriteItemsRequest;

    use super::*;

    #[test]
    fn what_comes_again_is_answered_and_something_else_is_refused() {
        let tokens = Tokens::default();
        let run = |body: &str| {
            let request: TransactWriteItemsRequest = serde_json::from_str(body).unwrap();
            tokens.once("token".to_owned(), content(&request.transact_items).unwrap(), || Ok(body.to_owned()))
        };
        let item = r#"{"a":{"S":"1"},"b":{"S":"2"},"c":{"S":"3"}}"#;
        let first = format!(
            r#"{{"ClientRequestToken":"token","TransactItems":[{{"Put":{{"TableName":"t","Item":{item}}}}}]}}"#
        );
        assert_eq!(run(&first).unwrap(), first);
        let item = r#"{"c":{"S":"3"},"b":{"S":"2"},"a":{"S":"1"}}"#;
        let other_order = format!(
            r#"{{"ReturnConsumedCapacity":"TOTAL","TransactItems":[{{"Put":{{"Item":{item},"TableName":"t"}}}}]}}"#
        );
        assert_eq!(run(&other_order).unwrap(), first);
        let other = r#"{"TransactItems":[]}"#;
        assert!(matches!(run(other), Err(DynoxideError::IdempotentParameterMismatchException(_))));
    }

    #[test]
    fn what_failed_is_tried_again_and_what_is_old_is_forgotten() {
        let tokens = Tokens::default();
        let failed = || Err(DynoxideError::InternalServerError("locked".to_owned()));
        assert!(tokens.once("token".to_owned(), 1, failed).is_err());
        assert_eq!(tokens.once("token".to_owned(), 1, || Ok("done".to_owned())).unwrap(), "done");
        let mut known = tokens.0.lock().unwrap();
        known.forget(KNOWN);
        assert_eq!(known.answers.len(), 1);
        known.forget(Duration::ZERO);
        assert!(known.answers.is_empty() && known.order.is_empty());
    }
}
