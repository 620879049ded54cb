//! Making the table where no template does: on one machine and in tests.

use aws_sdk_dynamodb::operation::create_table::CreateTableError;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection, ProjectionType,
    ScalarAttributeType, TimeToLiveSpecification,
};

use super::item::{GSI1, GSI1_PK, GSI1_SK, PK, SK, TTL};
use super::{Store, StoreError};

impl Store {
    /// Makes the table as template.yaml describes it; nothing happens where it stands already.
    ///
    /// # Errors
    /// Where the table cannot be made.
    pub async fn create_table(&self) -> Result<(), StoreError> {
        let mut request = self.client.create_table().table_name(&self.table).billing_mode(BillingMode::PayPerRequest);
        for name in [PK, SK, GSI1_PK, GSI1_SK] {
            request = request.attribute_definitions(
                AttributeDefinition::builder()
                    .attribute_name(name)
                    .attribute_type(ScalarAttributeType::S)
                    .build()
                    .map_err(|error| StoreError::Refused(Box::new(error)))?,
            );
        }
        let index = GlobalSecondaryIndex::builder()
            .index_name(GSI1)
            .set_key_schema(Some(key_schema(GSI1_PK, GSI1_SK)?))
            .projection(Projection::builder().projection_type(ProjectionType::All).build())
            .build()
            .map_err(|error| StoreError::Refused(Box::new(error)))?;
        let made = request.set_key_schema(Some(key_schema(PK, SK)?)).global_secondary_indexes(index).send().await;
        match made {
            Ok(_) => {}
            Err(error) if matches!(error.as_service_error(), Some(CreateTableError::ResourceInUseException(_))) => {
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        }
        let ttl = TimeToLiveSpecification::builder()
            .enabled(true)
            .attribute_name(TTL)
            .build()
            .map_err(|error| StoreError::Refused(Box::new(error)))?;
        self.client.update_time_to_live().table_name(&self.table).time_to_live_specification(ttl).send().await?;
        Ok(())
    }
}

fn key_schema(hash: &str, range: &str) -> Result<Vec<KeySchemaElement>, StoreError> {
    [(hash, KeyType::Hash), (range, KeyType::Range)]
        .into_iter()
        .map(|(name, kind)| KeySchemaElement::builder().attribute_name(name).key_type(kind).build())
        .collect::<Result<_, _>>()
        .map_err(|error| StoreError::Refused(Box::new(error)))
}
