//! Making the table where no template does: on one machine and in tests.

use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::item::{GSI1, GSI1_PK, GSI1_SK, PK, SK, TTL};
use super::{Store, StoreError};
use crate::aws::AwsError;

impl Store {
    /// Makes the table as template.yaml describes it; nothing happens where it stands already.
    ///
    /// # Errors
    /// Where the table cannot be made.
    pub async fn create_table(&self) -> Result<(), StoreError> {
        let definition = |name: &str| json!({ "AttributeName": name, "AttributeType": "S" });
        let definitions = [PK, SK, GSI1_PK, GSI1_SK].map(definition);
        let table = json!({
            "TableName": self.table,
            "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": definitions,
            "KeySchema": key_schema(PK, SK),
            "GlobalSecondaryIndexes": [{
                "IndexName": GSI1,
                "KeySchema": key_schema(GSI1_PK, GSI1_SK),
                "Projection": { "ProjectionType": "ALL" },
            }],
        });
        match self.call::<IgnoredAny>("CreateTable", &table).await {
            Ok(_) => {}
            Err(StoreError::Refused(AwsError::Refused(refusal))) if refusal.code == "ResourceInUseException" => {
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        let ttl = json!({
            "TableName": self.table,
            "TimeToLiveSpecification": { "Enabled": true, "AttributeName": TTL },
        });
        self.call::<IgnoredAny>("UpdateTimeToLive", &ttl).await.map(drop)
    }
}

fn key_schema(hash: &str, range: &str) -> Value {
    json!([{ "AttributeName": hash, "KeyType": "HASH" }, { "AttributeName": range, "KeyType": "RANGE" }])
}
