//! The routes of template.yaml: which function answers a path. They are matched as API Gateway matches them: an exact
//! segment before a parameter, a parameter before `{proxy+}`.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The template that is deployed.
const TEMPLATE: &str = include_str!("../../../template.yaml");
/// The most segments of a path that is looked at.
const DEEPEST: usize = 32;

/// A template whose routes cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RoutesError {
    /// It is no YAML, or no template.
    #[error("template.yaml cannot be read: {0}")]
    Unreadable(String),
    /// A function has a route and no binary.
    #[error("template.yaml: the function {0} has a route but names no binary in Metadata.BuildProperties.Binary")]
    NoBinary(String),
    /// A route leads to no function of this program.
    #[error("template.yaml routes to {0}, which is no function of this program")]
    NoFunction(String),
}

/// All routes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Routes(Vec<Route>);

#[derive(Debug, PartialEq, Eq)]
struct Route {
    path: Vec<Segment>,
    /// Upper case; `ANY` for all.
    method: String,
    function: String,
}

/// The more exact one is the smaller.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Segment {
    Exact(String),
    Parameter,
    Rest,
}

impl Routes {
    /// Those of the template that this program was built with.
    pub(crate) fn of_template() -> Result<Self, RoutesError> {
        Self::read(TEMPLATE)
    }

    fn read(template: &str) -> Result<Self, RoutesError> {
        let options = serde_saphyr::options! { with_snippet: false };
        let template: Template = serde_saphyr::from_str_with_options(template, options)
            .map_err(|error| RoutesError::Unreadable(error.to_string()))?;
        let mut routes = Vec::new();
        for (name, resource) in template.resources {
            let binary =
                resource.metadata.and_then(|metadata| metadata.build_properties).and_then(|build| build.binary);
            for event in resource.properties.events.into_values().filter(|event| event.kind == "Api") {
                let function = binary.clone().ok_or_else(|| RoutesError::NoBinary(name.clone()))?;
                if let (Some(path), Some(method)) = (event.properties.path, event.properties.method) {
                    routes.push(Route { path: pattern(&path), method: method.to_uppercase(), function });
                }
            }
        }
        Ok(Self(routes))
    }

    /// The functions that have a route.
    pub(crate) fn functions(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|route| route.function.as_str())
    }

    /// The function that answers.
    pub(crate) fn find(&self, method: &str, path: &str) -> Option<&str> {
        let segments = segments(path);
        let answers = |route: &&Route| {
            (route.method == "ANY" || route.method.eq_ignore_ascii_case(method)) && fits(&route.path, &segments)
        };
        self.0.iter().filter(answers).min_by_key(|route| &route.path).map(|route| route.function.as_str())
    }
}

fn segments(path: &str) -> Vec<&str> {
    let path = path.strip_prefix('/').unwrap_or(path);
    path.strip_suffix('/').unwrap_or(path).split('/').take(DEEPEST).collect()
}

fn pattern(path: &str) -> Vec<Segment> {
    let segment = |segment: &str| match segment.strip_prefix('{').and_then(|segment| segment.strip_suffix('}')) {
        Some(name) if name.ends_with('+') => Segment::Rest,
        Some(_) => Segment::Parameter,
        None => Segment::Exact(segment.to_owned()),
    };
    segments(path).into_iter().map(segment).collect()
}

fn fits(pattern: &[Segment], path: &[&str]) -> bool {
    match (pattern, path) {
        ([Segment::Rest], [_, ..]) | ([], []) => true,
        ([Segment::Exact(exact), pattern @ ..], [segment, path @ ..]) => exact == segment && fits(pattern, path),
        ([Segment::Parameter, pattern @ ..], [segment, path @ ..]) => !segment.is_empty() && fits(pattern, path),
        _ => false,
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Template {
    resources: BTreeMap<String, Resource>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Resource {
    metadata: Option<Metadata>,
    #[serde(default)]
    properties: Properties,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Metadata {
    build_properties: Option<BuildProperties>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct BuildProperties {
    binary: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Properties {
    #[serde(default)]
    events: BTreeMap<String, Event>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Event {
    #[serde(rename = "Type")]
    kind: String,
    #[serde(default)]
    properties: EventProperties,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct EventProperties {
    path: Option<String>,
    method: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = r#"
Transform: AWS::Serverless-2016-10-31
Resources:
  Api:
    Type: AWS::Serverless::Api
    Properties: { StageName: !Ref Stage, Name: !Sub "${AWS::StackName}-api" }
  Chat:
    Type: AWS::Serverless::Function
    Metadata: { BuildMethod: rust-cargolambda, BuildProperties: { Binary: chat } }
    Properties:
      Architectures: [!Ref Architecture]
      Policies: [{ Statement: { Resource: !GetAtt Table.Arn } }]
      Events:
        One: { Type: Api, Properties: { RestApiId: !Ref Api, Path: "/agents/{id}/chat", Method: post } }
        Other: { Type: Api, Properties: { Path: "/agents/{id}/{proxy+}", Method: any } }
        Queue: { Type: SQS, Properties: { Queue: !GetAtt Queue.Arn } }
  Models:
    Type: AWS::Serverless::Function
    Metadata: { BuildProperties: { Binary: models } }
    Properties: { Events: { One: { Type: Api, Properties: { Path: "/agents/{id}/models", Method: GET } } } }
"#;

    #[test]
    fn the_most_exact_route_answers() {
        let routes = Routes::read(SMALL).unwrap();
        for (method, path, expected) in [
            ("POST", "/agents/a/chat", Some("chat")),
            ("GET", "/agents/a/models", Some("models")),
            ("GET", "/agents/a/models/", Some("models")),
            ("POST", "/agents/a/models", Some("chat")),
            ("GET", "/agents/a/b/c", Some("chat")),
            ("GET", "/agents/a", None),
            ("GET", "/agents//chat", None),
            ("GET", "/agents/a/", None),
            ("GET", "/", None),
        ] {
            assert_eq!(routes.find(method, path), expected, "{method} {path}");
        }
    }

    #[test]
    fn a_route_without_a_binary_is_refused() {
        let template = SMALL.replace("BuildProperties: { Binary: models }", "BuildMethod: x");
        assert!(matches!(Routes::read(&template), Err(RoutesError::NoBinary(name)) if name == "Models"));
    }

    #[test]
    fn the_deployed_template_is_read() {
        let routes = Routes::of_template().unwrap();
        assert_eq!(routes.find("GET", "/api/health"), Some("health"));
        assert_eq!(routes.find("POST", "/api/agents/ag_1/v1/chat/completions"), Some("chat-completions"));
        assert_eq!(routes.find("GET", "/api/agents/ag_1/v1/models"), Some("models"));
        assert_eq!(routes.find("POST", "/api/agents/ag_1/chat"), Some("agent-chat"));
        assert_eq!(routes.find("DELETE", "/api/mcp/keys"), Some("mcp-keys"));
        assert_eq!(routes.find("POST", "/api/webhook/ag_1"), Some("webhook"));
        assert_eq!(routes.find("OPTIONS", "/api/widget/chat"), Some("widget-chat"));
        assert_eq!(routes.find("GET", "/api/widget/config"), Some("widget-config"));
        assert_eq!(routes.find("GET", "/api/widget/script"), Some("widget-script"));
        assert_eq!(routes.find("GET", "/api/nothing"), None);
    }
}
