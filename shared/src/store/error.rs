//! What can go wrong with the table.

use crate::aws::AwsError;

/// A failure of the table. A refused condition is no failure: the calls that have one say so in their result.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The table did not answer, or asks to slow down: the same call may succeed later.
    #[error("the table is unavailable")]
    Unavailable(#[source] AwsError),
    /// The table refuses the call whatever the moment: it is missing, or access to it is.
    #[error("the table refuses the call")]
    Refused(#[source] AwsError),
    /// Two keys are the same, which randomness keeps from happening.
    #[error("the key stands in the table already")]
    Taken,
    /// Others kept changing the same item.
    #[error("the item is changed by too many at once")]
    Contended,
    /// An item cannot be written as one.
    #[error("an item of the table cannot be written")]
    Malformed(#[from] serde_dynamo::Error),
    /// An answer is not of DynamoDB's shape, or an item in it not of the one that its file describes.
    #[error("the table's answer cannot be read")]
    Answer(#[from] serde_json::Error),
}

/// Codes after which a later try may succeed, beside those of a service that is in trouble or asks to slow down.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html>
const TRANSIENT: [&str; 2] = ["TransactionConflictException", "TransactionInProgressException"];

impl From<AwsError> for StoreError {
    fn from(error: AwsError) -> Self {
        let may_pass = error.is_transient() || error.code().is_some_and(|code| TRANSIENT.contains(&code));
        if may_pass { Self::Unavailable(error) } else { Self::Refused(error) }
    }
}
