//! What can go wrong with the table.

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};

/// A failure of the table. A refused condition is no failure: the calls that have one say so in their result.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The table did not answer, or asks to slow down: the same call may succeed later.
    #[error("the table is unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The table refuses the call whatever the moment: it is missing, or access to it is.
    #[error("the table refuses the call")]
    Refused(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Others kept changing the same item.
    #[error("the item is changed by too many at once")]
    Contended,
    /// An item is not of the shape that its file describes.
    #[error("an item of the table cannot be read or written")]
    Malformed(#[from] serde_dynamo::Error),
}

/// Codes after which a later try may succeed.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html>
const TRANSIENT: [&str; 8] = [
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "ThrottlingException",
    "InternalServerError",
    "ServiceUnavailable",
    "TransactionConflictException",
    "TransactionInProgressException",
    "LimitExceededException",
];

impl<E, R> From<SdkError<E, R>> for StoreError
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
{
    fn from(error: SdkError<E, R>) -> Self {
        let refused = error
            .as_service_error()
            .is_some_and(|service| service.code().is_some_and(|code| !TRANSIENT.contains(&code)));
        if refused { Self::Refused(Box::new(error)) } else { Self::Unavailable(Box::new(error)) }
    }
}
