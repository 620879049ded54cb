//! The settings, read from the environment once. A wrong one stops the start and is named.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use secrecy::SecretString;
use url::{Host, Url};

use crate::egress::Reach;
use crate::outbound::TlsRoots;

/// How the names of variables end that hold secrets, and what stands beside them.
const SECRETS: [&str; 4] = ["_API_KEY", "_CLIENT_ID", "_SECRET", "_SEALING_KEYS"];

/// Everything that can be set. The field's variable and its default stand beside it.
#[derive(Clone, Debug)]
pub struct Config {
    /// `ORRERY_TABLE` (`orrery`): the table's name.
    pub table: String,
    /// `ORRERY_SECRET` (unset): the name of the secret in Secrets Manager that holds keys; where it is unset they come
    /// from the environment.
    pub secret: Option<String>,
    /// `ORRERY_SECRET_TTL_SECONDS` (300): how long the secret is kept before it is read again.
    pub secret_ttl: Duration,
    /// `ORRERY_TURN_SECONDS` (600): the longest turn.
    pub turn_limit: Duration,
    /// `ORRERY_SESSION_DAYS` (30): how long a session is kept after its last turn.
    pub session_ttl: Duration,
    /// `ORRERY_CONNECT_TIMEOUT_MS` (5000): to a connection with a model's provider.
    pub connect_timeout: Duration,
    /// `ORRERY_FIRST_BYTE_TIMEOUT_MS` (60000): to the first event of a model's answer.
    pub first_byte_timeout: Duration,
    /// `ORRERY_IDLE_TIMEOUT_MS` (60000): between two events of a model's answer.
    pub idle_timeout: Duration,
    /// `ORRERY_MODEL_ATTEMPTS` (3): how often one model is asked before the next one is.
    pub model_attempts: u32,
    /// `ORRERY_DEMO_DELAY_MS` (30): between two words of the demo model.
    pub demo_delay: Duration,
    /// `ORRERY_MCP_ALLOWED_ORIGINS` (none): the origins whose pages may call the MCP server, with commas between them;
    /// `loopback` for all of this machine, `*` for all there are. What is no page names no origin, and is not asked.
    pub mcp_allowed_origins: Vec<String>,
    /// `ORRERY_MCP_ALLOWED_HOSTS` (`*`): the names by which the MCP server may be called, with commas between them;
    /// `loopback` for those of this machine. `orrery serve` answers to `loopback` where it is not set.
    pub mcp_allowed_hosts: Vec<String>,
    /// `<PROVIDER>_BASE_URL`: where a provider is reached, a path prefix included. `SLACK_BASE_URL`
    /// (`https://slack.com/api`) is Slack's.
    pub base_urls: BTreeMap<String, Url>,
    /// `ORRERY_PUBLIC_URL` (unset): where platforms reach this deployment, without `/api/…`; where it is unset, the address
    /// of the request that asks is told them.
    pub public_url: Option<Url>,
    /// `ORRERY_TLS_ROOTS` (`bundled`): `bundled` or `system`, the certificate authorities that are trusted.
    pub tls_roots: TlsRoots,
    /// `AWS_LAMBDA_LOG_LEVEL`, or `ORRERY_LOG` (`info`): what is logged, as a `tracing` filter.
    pub log: String,
    /// `ORRERY_METRICS` (unset): the namespace of metrics in CloudWatch; where it is unset none are written.
    pub metrics: Option<String>,
    /// Who vouches for users; where it is unset, no user is known.
    pub oidc: Option<Oidc>,
    /// `ORRERY_CHANNELS_QUEUE` (unset): the URL of the SQS FIFO queue in which what people sent on channels waits; where
    /// it is unset, that waits in the table.
    pub channels_queue: Option<String>,
    /// `ORRERY_DELIVERIES_QUEUE` (unset): the URL of the SQS standard queue in which events on their way to receivers
    /// wait; where it is unset, they wait in the table.
    pub deliveries_queue: Option<String>,
    /// `ORRERY_WEBHOOK_TARGETS` (`public`): `public`, where the receivers of outbound webhooks are on the public internet
    /// alone, behind https; `loopback`, where they may be on this machine too. `orrery serve` has `loopback` where it is
    /// not set.
    pub webhook_reach: Option<Reach>,
    /// How AWS is reached.
    pub aws: Aws,
    /// The variables that hold secrets: `*_API_KEY`, `*_CLIENT_ID`, `*_SECRET` and `ORRERY_SEALING_KEYS`. Slack's are
    /// `SLACK_CLIENT_ID`, `SLACK_CLIENT_SECRET` and `SLACK_SIGNING_SECRET`.
    pub secrets: BTreeMap<String, SecretString>,
}

/// An identity provider whose OpenID Connect ID tokens are taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Oidc {
    /// `ORRERY_OIDC_ISSUER`: its name, exactly as its tokens spell it. An https URL, or http on this machine.
    pub issuer: String,
    /// `ORRERY_OIDC_AUDIENCE`: for whom the tokens are made (client ids; Firebase: the project), with commas between
    /// several.
    pub audiences: Vec<String>,
    /// `ORRERY_OIDC_JWKS_URL` (what the issuer's discovery document says): where its keys are.
    pub jwks_url: Option<Url>,
}

/// `AWS_REGION`, `AWS_ENDPOINT_URL`, `AWS_ENDPOINT_URL_DYNAMODB`, `AWS_ENDPOINT_URL_SQS`,
/// `AWS_ENDPOINT_URL_SECRETS_MANAGER` and the three credentials, as Lambda sets them.
#[derive(Clone, Debug, Default)]
pub struct Aws {
    /// The region; `us-east-1` where none is set.
    pub region: String,
    /// The table's endpoint, where it is not the region's own.
    pub dynamodb_endpoint: Option<String>,
    /// SQS's endpoint, where it is not the region's own.
    pub sqs_endpoint: Option<String>,
    /// Secrets Manager's endpoint, where it is not the region's own.
    pub secrets_endpoint: Option<String>,
    /// Who calls: access key, secret key, session token.
    pub credentials: Option<(String, SecretString, Option<SecretString>)>,
}

/// `AWS_LAMBDA_RUNTIME_API`: where Lambda's Runtime API is reached. It stands apart from [`Config`], so that a wrong
/// setting can be reported there.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the environment is read in this module")]
pub fn runtime_api() -> Option<String> {
    std::env::var("AWS_LAMBDA_RUNTIME_API").ok().filter(|address| !address.is_empty())
}

/// A setting that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the environment variable {name} cannot be used: {reason}")]
pub struct ConfigError {
    name: String,
    reason: String,
}

impl Config {
    /// Reads this process's environment.
    ///
    /// # Errors
    /// The first variable whose value cannot be used.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    pub fn from_environment() -> Result<Self, ConfigError> {
        Self::read(
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))),
        )
    }

    /// Reads the given variables. Empty ones count as unset.
    ///
    /// # Errors
    /// The first variable whose value cannot be used.
    pub fn read(variables: impl IntoIterator<Item = (String, String)>) -> Result<Self, ConfigError> {
        let all: BTreeMap<String, String> = variables.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        let vars = Variables(&all);
        let log = vars.text("AWS_LAMBDA_LOG_LEVEL").or_else(|| vars.text("ORRERY_LOG"));
        Ok(Self {
            table: vars.text("ORRERY_TABLE").unwrap_or_else(|| "orrery".to_owned()),
            secret: vars.text("ORRERY_SECRET"),
            secret_ttl: Duration::from_secs(vars.number("ORRERY_SECRET_TTL_SECONDS", 300, 1, 86_400)?),
            turn_limit: Duration::from_secs(vars.number("ORRERY_TURN_SECONDS", 600, 1, 900)?),
            session_ttl: Duration::from_secs(86_400 * vars.number("ORRERY_SESSION_DAYS", 30, 1, 3650)?),
            connect_timeout: vars.millis("ORRERY_CONNECT_TIMEOUT_MS", 5_000)?,
            first_byte_timeout: vars.millis("ORRERY_FIRST_BYTE_TIMEOUT_MS", 60_000)?,
            idle_timeout: vars.millis("ORRERY_IDLE_TIMEOUT_MS", 60_000)?,
            model_attempts: u32::try_from(vars.number("ORRERY_MODEL_ATTEMPTS", 3, 1, 10)?).unwrap_or(3),
            demo_delay: Duration::from_millis(vars.number("ORRERY_DEMO_DELAY_MS", 30, 0, 60_000)?),
            mcp_allowed_origins: vars.list("ORRERY_MCP_ALLOWED_ORIGINS"),
            mcp_allowed_hosts: vars.list("ORRERY_MCP_ALLOWED_HOSTS"),
            base_urls: vars.base_urls()?,
            public_url: vars.public_url()?,
            tls_roots: match vars.text("ORRERY_TLS_ROOTS").as_deref() {
                None | Some("bundled") => TlsRoots::Bundled,
                Some("system") => TlsRoots::System,
                Some(_) => return Err(error("ORRERY_TLS_ROOTS", "it is bundled or system")),
            },
            log: log.unwrap_or_else(|| "info".to_owned()).to_lowercase(),
            metrics: vars.text("ORRERY_METRICS"),
            oidc: vars.oidc()?,
            channels_queue: vars.text("ORRERY_CHANNELS_QUEUE"),
            deliveries_queue: vars.text("ORRERY_DELIVERIES_QUEUE"),
            webhook_reach: match vars.text("ORRERY_WEBHOOK_TARGETS").as_deref() {
                None => None,
                Some("public") => Some(Reach::Public),
                Some("loopback") => Some(Reach::PublicAndThisMachine),
                Some(_) => return Err(error("ORRERY_WEBHOOK_TARGETS", "it is public or loopback")),
            },
            aws: vars.aws(),
            secrets: all
                .iter()
                .filter(|(name, _)| SECRETS.iter().any(|ending| name.ends_with(ending)) && *name != "ORRERY_SECRET")
                .map(|(name, value)| (name.clone(), SecretString::from(value.clone())))
                .collect(),
        })
    }
}

fn error(name: &str, reason: impl Display) -> ConfigError {
    ConfigError { name: name.to_owned(), reason: reason.to_string() }
}

struct Variables<'a>(&'a BTreeMap<String, String>);

impl Variables<'_> {
    fn text(&self, name: &str) -> Option<String> {
        self.0.get(name).cloned()
    }

    fn list(&self, name: &str) -> Vec<String> {
        let items = self.0.get(name).into_iter().flat_map(|value| value.split(','));
        items.map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
    }

    fn parse<T: FromStr<Err: Display>>(&self, name: &str) -> Result<Option<T>, ConfigError> {
        self.0.get(name).map(|value| value.parse().map_err(|reason| error(name, reason))).transpose()
    }

    fn number(&self, name: &str, default: u64, least: u64, most: u64) -> Result<u64, ConfigError> {
        let value = self.parse(name)?.unwrap_or(default);
        if (least..=most).contains(&value) {
            Ok(value)
        } else {
            Err(error(name, format_args!("it is a whole number from {least} to {most}, not {value}")))
        }
    }

    fn millis(&self, name: &str, default: u64) -> Result<Duration, ConfigError> {
        Ok(Duration::from_millis(self.number(name, default, 1, 900_000)?))
    }

    fn base_urls(&self) -> Result<BTreeMap<String, Url>, ConfigError> {
        let mut urls = BTreeMap::new();
        for name in self.0.keys() {
            let Some(provider) = name.strip_suffix("_BASE_URL") else { continue };
            let Some(url) = self.parse::<Url>(name)? else { continue };
            if !matches!(url.scheme(), "http" | "https") {
                return Err(error(name, "it is an http or https URL"));
            }
            urls.insert(provider.to_lowercase().replace('_', "-"), url);
        }
        Ok(urls)
    }

    fn public_url(&self) -> Result<Option<Url>, ConfigError> {
        const NAME: &str = "ORRERY_PUBLIC_URL";
        let url = self.parse::<Url>(NAME)?;
        let is_plain = |url: &Url| {
            matches!(url.scheme(), "http" | "https")
                && url.has_host()
                && url.query().is_none()
                && url.fragment().is_none()
        };
        match url {
            Some(url) if !is_plain(&url) => Err(error(NAME, "it is an http or https URL without a query")),
            url => Ok(url),
        }
    }

    fn oidc(&self) -> Result<Option<Oidc>, ConfigError> {
        const NAMES: [&str; 3] = ["ORRERY_OIDC_ISSUER", "ORRERY_OIDC_AUDIENCE", "ORRERY_OIDC_JWKS_URL"];
        let [issuer, audience, jwks_url] = NAMES;
        let Some(name) = self.text(issuer) else {
            return match NAMES.iter().find(|name| self.0.contains_key(**name)) {
                Some(_) => Err(error(issuer, "it is missing, where other settings of OIDC are there")),
                None => Ok(None),
            };
        };
        let audiences = self.list(audience);
        if audiences.is_empty() {
            return Err(error(audience, "it is missing: without it, tokens made for others would be taken"));
        }
        let parsed = self.parse::<Url>(issuer)?;
        let keys = self.parse::<Url>(jwks_url)?;
        for (name, url) in [(issuer, &parsed), (jwks_url, &keys)] {
            if url.as_ref().is_some_and(|url| !is_safe(url)) {
                return Err(error(name, "it is an https URL, or http on 127.0.0.1, [::1] or localhost"));
            }
        }
        Ok(Some(Oidc { issuer: name, audiences, jwks_url: keys }))
    }

    fn aws(&self) -> Aws {
        let any = || self.text("AWS_ENDPOINT_URL");
        Aws {
            region: self
                .text("AWS_REGION")
                .or_else(|| self.text("AWS_DEFAULT_REGION"))
                .unwrap_or_else(|| "us-east-1".to_owned()),
            dynamodb_endpoint: self.text("AWS_ENDPOINT_URL_DYNAMODB").or_else(any),
            sqs_endpoint: self.text("AWS_ENDPOINT_URL_SQS").or_else(any),
            secrets_endpoint: self.text("AWS_ENDPOINT_URL_SECRETS_MANAGER").or_else(any),
            credentials: self.text("AWS_ACCESS_KEY_ID").zip(self.text("AWS_SECRET_ACCESS_KEY")).map(|(id, secret)| {
                (id, SecretString::from(secret), self.text("AWS_SESSION_TOKEN").map(SecretString::from))
            }),
        }
    }
}

/// Whether nobody on the way can change what comes from there.
#[must_use]
pub fn is_safe(url: &Url) -> bool {
    match (url.scheme(), url.host()) {
        ("https", Some(_)) => true,
        ("http", Some(Host::Ipv4(address))) => address.is_loopback(),
        ("http", Some(Host::Ipv6(address))) => address.is_loopback(),
        ("http", Some(Host::Domain(name))) => name == "localhost",
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
        Config::read(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }

    #[test]
    fn an_empty_environment_is_enough() {
        let config = read(&[]).unwrap();
        assert_eq!(config.table, "orrery");
        assert_eq!(config.turn_limit, Duration::from_secs(600));
        assert!(config.secrets.is_empty() && config.base_urls.is_empty());
    }

    #[test]
    fn a_wrong_value_is_refused_with_its_name() {
        for (name, value) in [
            ("ORRERY_TURN_SECONDS", "soon"),
            ("ORRERY_TURN_SECONDS", "901"),
            ("ORRERY_TLS_ROOTS", "none"),
            ("OLLAMA_BASE_URL", "not a url"),
            ("OLLAMA_BASE_URL", "ftp://example.com"),
            ("ORRERY_PUBLIC_URL", "bot.example"),
            ("ORRERY_PUBLIC_URL", "https://bot.example/?x"),
            ("ORRERY_OIDC_ISSUER", "accounts.example.com"),
            ("ORRERY_OIDC_ISSUER", "http://accounts.example.com"),
            ("ORRERY_OIDC_AUDIENCE", " , "),
            ("ORRERY_OIDC_JWKS_URL", "http://accounts.example.com/jwks.json"),
        ] {
            let oidc = [("ORRERY_OIDC_ISSUER", "https://issuer.example/"), ("ORRERY_OIDC_AUDIENCE", "me, you")];
            let all: Vec<_> = oidc.into_iter().chain([(name, value)]).collect();
            assert!(read(&all).unwrap_err().to_string().contains(name), "{name}={value}");
        }
    }

    #[test]
    fn an_identity_provider_is_named_whole_or_not_at_all() {
        assert_eq!(read(&[]).unwrap().oidc, None);
        let mut all = vec![
            ("ORRERY_OIDC_ISSUER", "https://issuer.example/"),
            ("ORRERY_OIDC_AUDIENCE", "me, you"),
            ("ORRERY_OIDC_JWKS_URL", "http://127.0.0.1:1/jwks.json"),
        ];
        let oidc = read(&all).unwrap().oidc.unwrap();
        assert_eq!(oidc.issuer, "https://issuer.example/", "a slash at its end belongs to it");
        assert_eq!(oidc.audiences, ["me", "you"]);
        all.remove(1);
        assert!(read(&all).unwrap_err().to_string().contains("ORRERY_OIDC_AUDIENCE"));
        all.remove(0);
        assert!(read(&all).unwrap_err().to_string().contains("ORRERY_OIDC_ISSUER"));
    }

    #[test]
    fn base_urls_are_kept_by_provider_and_secrets_never_show() {
        let config = read(&[("OPENAI_BASE_URL", "http://127.0.0.1:1/x/v1"), ("OPENAI_API_KEY", "sk-plain")]).unwrap();
        assert_eq!(config.base_urls["openai"].path(), "/x/v1");
        assert!(config.secrets.contains_key("OPENAI_API_KEY"));
        assert!(!format!("{config:?}").contains("sk-plain"));
    }
}
