//! The API's description: what all functions say of themselves, as one OpenAPI document.

use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{InfoBuilder, OpenApi, OpenApiBuilder, ServerBuilder};

use super::ServeError;
use super::functions::function;
use super::routes::{Routes, RoutesError};

/// What every function but those that say otherwise asks for: a key, as a bearer or in the query.
const SECURITY: [&str; 2] = ["bearer", "key"];

/// The document of the kopern dialect, its paths in order.
///
/// # Errors
/// Where template.yaml names a function that is none.
fn document() -> Result<OpenApi, RoutesError> {
    let info = InfoBuilder::new()
        .title("Orrery")
        .version("1")
        .description(Some("AI agents as an HTTP API: OpenAI-compatible chat, webhooks, the chat widget and MCP."))
        .build();
    let mut api = OpenApiBuilder::new()
        .info(info)
        .servers(Some([ServerBuilder::new().url("/").description(Some("where this document comes from")).build()]))
        .security(Some(SECURITY.map(|name| SecurityRequirement::new::<_, [&str; 0], &str>(name, []))))
        .build();
    for name in Routes::of_template()?.functions() {
        api.merge(function(name)?.split_for_parts().1);
    }
    let components = api.components.get_or_insert_default();
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("A key (kpn_…), or the user's ID token where the endpoint manages keys."));
    components.add_security_scheme("bearer", SecurityScheme::Http(bearer.build()));
    components.add_security_scheme("key", SecurityScheme::ApiKey(ApiKey::Query(ApiKeyValue::new("key"))));
    Ok(api)
}

/// The document as text.
///
/// # Errors
/// As [`document`], and where it is no JSON.
pub(super) fn text() -> Result<String, ServeError> {
    document()?.to_pretty_json().map(|text| text + "\n").map_err(ServeError::OpenApi)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_document_is_the_codes() {
        let committed = include_str!("../../../docs/openapi/kopern.json");
        assert!(committed == text().unwrap(), "it changed: cargo orrery openapi > docs/openapi/kopern.json");
    }

    #[test]
    fn every_schema_has_a_name_of_its_own() {
        let document = serde_json::to_value(document().unwrap()).unwrap();
        let schemas = document["components"]["schemas"].as_object().unwrap();
        assert!(schemas.contains_key("ErrorResponse") && schemas.contains_key("OpenAiErrorResponse"), "{schemas:?}");
    }
}
