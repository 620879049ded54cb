//! The deployment's secret in Secrets Manager, to be changed.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::SecretError;
use crate::aws::Client;

/// The deployment's secret: a JSON object of names and strings.
pub struct ManagedSecret {
    client: Client,
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SecretValue {
    #[serde(default)]
    secret_string: String,
}

impl ManagedSecret {
    /// The secret of this name, reached through this client.
    #[must_use]
    pub const fn new(client: Client, name: String) -> Self {
        Self { client, name }
    }

    /// All that it holds.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub async fn read(&self) -> Result<Map<String, Value>, SecretError> {
        let malformed = |_| SecretError::Malformed(self.name.clone());
        let answer = self.call("GetSecretValue", &json!({ "SecretId": self.name })).await?;
        let value: SecretValue = serde_json::from_slice(&answer).map_err(malformed)?;
        serde_json::from_str(&value.secret_string).map_err(malformed)
    }

    /// Puts all of this in its place. What another changed since it was read is lost.
    /// <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_PutSecretValue.html>
    ///
    /// # Errors
    /// Where it is not taken, or may not have been.
    pub async fn put(&self, values: &Map<String, Value>) -> Result<(), SecretError> {
        let mut token = [0; 32];
        aws_lc_rs::rand::fill(&mut token).map_err(|_| SecretError::NoRandomness)?;
        let text = Value::Object(values.clone()).to_string();
        let token = hex::encode(token);
        let request = json!({ "SecretId": self.name, "SecretString": text, "ClientRequestToken": token });
        self.call("PutSecretValue", &request).await.map(drop)
    }

    async fn call(&self, operation: &str, request: &Value) -> Result<bytes::Bytes, SecretError> {
        let called = self.client.call(&format!("secretsmanager.{operation}"), request.to_string()).await;
        called.map_err(|source| SecretError::Unavailable { name: self.name.clone(), source })
    }
}
