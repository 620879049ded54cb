//! The API's descriptions: what the functions of each dialect say of themselves, as one OpenAPI document a dialect.

use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{InfoBuilder, OpenApi, OpenApiBuilder, Paths, ServerBuilder};

use super::ServeError;
use super::functions::Function;
use super::routes::{Routes, RoutesError};

/// A dialect that is described.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Description {
    /// Everything below /api
    Kopern,
    /// Apps, below /v1
    App,
}

impl Description {
    /// What it is about.
    const fn title(self) -> (&'static str, &'static str) {
        match self {
            Self::Kopern => {
                ("Orrery", "AI agents as an HTTP API: OpenAI-compatible chat, webhooks, the chat widget and MCP.")
            }
            Self::App => ("Orrery: apps", "Projects of agents as apps: conversations, sessions, events and analytics."),
        }
    }

    /// What every function but those that say otherwise asks for: a key, as a bearer or in the query.
    const fn security(self) -> &'static [&'static str] {
        match self {
            Self::Kopern => &["bearer", "key"],
            Self::App => &["bearer"],
        }
    }

    /// What a bearer is.
    const fn bearer(self) -> &'static str {
        match self {
            Self::Kopern => "A key (kpn_…), or the user's ID token where the endpoint manages keys.",
            Self::App => "A key of the app (sk-app-…).",
        }
    }

    /// Whether a function with these paths belongs to it.
    fn has(self, paths: &Paths) -> bool {
        paths.paths.keys().any(|path| path.starts_with("/v1/")) == (self == Self::App)
    }
}

/// The document of a dialect, its paths in order.
///
/// # Errors
/// Where template.yaml names a function that is none.
fn document(described: Description) -> Result<OpenApi, RoutesError> {
    let (title, about) = described.title();
    let info = InfoBuilder::new().title(title).version("1").description(Some(about)).build();
    let security = described.security().iter().map(|name| SecurityRequirement::new::<_, [&str; 0], &str>(*name, []));
    let mut api = OpenApiBuilder::new()
        .info(info)
        .servers(Some([ServerBuilder::new().url("/").description(Some("where this document comes from")).build()]))
        .security(Some(security))
        .build();
    for name in Routes::of_template()?.functions() {
        let own = (Function::named(name)?.openapi)();
        if described.has(&own.paths) {
            api.merge(own);
        }
    }
    let components = api.components.get_or_insert_default();
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(described.bearer()));
    components.add_security_scheme("bearer", SecurityScheme::Http(bearer.build()));
    if described.security().contains(&"key") {
        components.add_security_scheme("key", SecurityScheme::ApiKey(ApiKey::Query(ApiKeyValue::new("key"))));
    }
    Ok(api)
}

/// The document as text.
///
/// # Errors
/// As [`document`], and where it is no JSON.
pub(super) fn text(described: Description) -> Result<String, ServeError> {
    document(described)?.to_pretty_json().map(|text| text + "\n").map_err(ServeError::OpenApi)
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn the_committed_documents_are_the_codes() {
        for (described, committed) in [
            (Description::Kopern, include_str!("../../../docs/openapi/kopern.json")),
            (Description::App, include_str!("../../../docs/openapi/app.json")),
        ] {
            let name = described.to_possible_value().unwrap();
            let name = name.get_name();
            assert!(
                committed == text(described).unwrap(),
                "it changed: cargo orrery openapi {name} > docs/openapi/{name}.json"
            );
        }
    }

    #[test]
    fn what_a_function_describes_is_routed_to_it() {
        let routes = Routes::of_template().unwrap();
        for name in routes.functions() {
            let described = serde_json::to_value((Function::named(name).unwrap().openapi)().paths).unwrap();
            for (path, item) in described.as_object().unwrap() {
                let path = path.replace(['{', '}'], "");
                for method in item.as_object().unwrap().keys() {
                    assert_eq!(routes.find(method, &path), Some(name), "{method} {path}");
                }
            }
        }
    }

    #[test]
    fn every_schema_has_a_name_of_its_own() {
        let schemas = |described| {
            let document = serde_json::to_value(document(described).unwrap()).unwrap();
            document["components"]["schemas"].as_object().unwrap().clone()
        };
        let (kopern, app) = (schemas(Description::Kopern), schemas(Description::App));
        assert!(kopern.contains_key("ErrorResponse") && kopern.contains_key("OpenAiErrorResponse"), "{kopern:?}");
        assert!(app.contains_key("AppErrorResponse") && !app.contains_key("ErrorResponse"), "{app:?}");
    }
}
