//! Everything that stands sealed in the table, to be sealed anew. What is added to the table sealed is added here.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::agent::agent_key;
use super::connection::connection_key;
use super::item::{Item, Key, text};
use super::project::project_key;
use super::stored::Unread;
use super::write::Write;
use super::{AgentItem, ConnectionItem, ProjectItem, Store, StoreError, Webhook};
use crate::id::TenantId;

/// A sealed text of the table.
#[derive(Clone, Debug)]
pub struct SealedText {
    /// For whom it is sealed.
    pub tenant: TenantId,
    /// For what.
    pub purpose: String,
    /// It.
    pub sealed: String,
    key: Key,
    /// Where it stands in its item.
    attribute: Attribute,
}

#[derive(Clone, Debug)]
enum Attribute {
    Connection,
    Secret { webhook: String },
    PreviousSecret { webhook: String },
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Scan<'a> {
    table_name: &'a str,
    consistent_read: bool,
    filter_expression: &'static str,
    expression_attribute_values: Item,
    #[serde(skip_serializing_if = "Option::is_none")]
    exclusive_start_key: Option<Item>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Page<'a> {
    #[serde(default, borrow)]
    items: Vec<Unread<'a>>,
    last_evaluated_key: Option<Item>,
}

impl Store {
    /// All sealed texts of all tenants. Reads the whole table.
    ///
    /// # Errors
    /// Where the table cannot be read.
    pub async fn sealed_texts(&self) -> Result<Vec<SealedText>, StoreError> {
        let mut found = Vec::new();
        let mut after = None;
        loop {
            let scan = Scan {
                table_name: &self.table,
                consistent_read: true,
                filter_expression: "sk = :connection OR sk = :agent OR sk = :project",
                expression_attribute_values: Item::from([
                    (":connection".to_owned(), text("CHANNEL")),
                    (":agent".to_owned(), text("AGENT")),
                    (":project".to_owned(), text("PROJECT")),
                ]),
                exclusive_start_key: after,
            };
            let answer = self.answer("Scan", &scan).await?;
            let page: Page<'_> = serde_json::from_slice(&answer)?;
            for item in page.items {
                match item.read::<Key>()?.sk.as_str() {
                    "AGENT" => {
                        let AgentItem { id, tenant, webhooks, .. } = item.read()?;
                        found.extend(of_webhooks(&agent_key(&id), &tenant, &webhooks));
                    }
                    "PROJECT" => {
                        let ProjectItem { id, tenant, webhooks, .. } = item.read()?;
                        found.extend(of_webhooks(&project_key(&id), &tenant, &webhooks));
                    }
                    _ => found.push(of_connection(&item)?),
                }
            }
            after = page.last_evaluated_key;
            if after.is_none() {
                return Ok(found);
            }
        }
    }

    /// Puts a text that was sealed anew in the place of what it was; `false` where that was changed since.
    ///
    /// # Errors
    /// Where the table does not take it.
    pub async fn put_resealed(&self, before: &SealedText, sealed: &str) -> Result<bool, StoreError> {
        let path = match before.attribute {
            Attribute::Connection => "#sealed",
            Attribute::Secret { .. } => "webhooks.#id.#sealed",
            Attribute::PreviousSecret { .. } => "webhooks.#id.#previous.#sealed",
        };
        let mut write = Write::update(&before.key, format!("SET {path} = :new"))
            .condition(format!("{path} = :before"))
            .value(":new", text(sealed))
            .value(":before", text(&before.sealed));
        write = match &before.attribute {
            Attribute::Connection => write.name("#sealed", "sealed"),
            Attribute::Secret { webhook } => write.name("#id", webhook).name("#sealed", "sealed_secret"),
            Attribute::PreviousSecret { webhook } => {
                write.name("#id", webhook).name("#previous", "previous").name("#sealed", "sealed")
            }
        };
        self.write(&write).await
    }
}

fn of_connection(item: &Unread<'_>) -> Result<SealedText, StoreError> {
    let ConnectionItem { platform, external, tenant, sealed, .. } = item.read()?;
    let purpose = ConnectionItem::purpose(platform, &external);
    Ok(SealedText {
        tenant,
        purpose,
        sealed,
        key: connection_key(platform, &external),
        attribute: Attribute::Connection,
    })
}

/// The secrets of the webhooks of the item under this key.
fn of_webhooks(key: &Key, tenant: &TenantId, webhooks: &BTreeMap<String, Webhook>) -> Vec<SealedText> {
    let texts = |(id, webhook): (&String, &Webhook)| {
        let secret = webhook.sealed_secret.clone().map(|sealed| (sealed, Attribute::Secret { webhook: id.clone() }));
        let previous = webhook.previous.as_ref();
        let previous =
            previous.map(|secret| (secret.sealed.clone(), Attribute::PreviousSecret { webhook: id.clone() }));
        let purpose = webhook.purpose(id);
        let (tenant, key) = (tenant.clone(), key.clone());
        let text = move |(sealed, attribute)| SealedText {
            tenant: tenant.clone(),
            purpose: purpose.clone(),
            sealed,
            key: key.clone(),
            attribute,
        };
        secret.into_iter().chain(previous).map(text).collect::<Vec<_>>()
    };
    webhooks.iter().flat_map(texts).collect()
}
