//! Requests to addresses that users or models name, and the guard against their reaching what only we can reach (SSRF).
//!
//! What holds for each request, and anew for each redirect: http or https only; ports 80, 443, 8080 and 8443; no
//! credentials in the address; a literal address must be public, and so must every address that a name resolves to.
//! The check sits in the resolver that the connection uses. No proxy of the environment is used and no connection is
//! kept, or a request could go around the check. Bodies are bounded, and so is the time.

mod address;
mod resolver;
mod target;

pub use address::is_public;
pub use resolver::{Resolver, SystemResolver};

use std::error::Error;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use reqwest::{RequestBuilder, Response};
use url::{Host, Url};

use resolver::{Guarded, NameError};

const MAX_REDIRECTS: usize = 5;

/// Bounds of one request, its redirects included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EgressSettings {
    /// The time to resolve and connect.
    pub connect_timeout: Duration,
    /// The time for all of it.
    pub total_timeout: Duration,
    /// The bytes of a body that are read; the rest is left.
    pub max_body_bytes: usize,
    /// What can be reached.
    pub reach: Reach,
}

impl Default for EgressSettings {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            total_timeout: Duration::from_secs(20),
            max_body_bytes: 2_000_000,
            reach: Reach::Public,
        }
    }
}

/// What can be reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// The public internet.
    #[default]
    Public,
    /// The public internet and this machine, where one more port is allowed: for tests that run a server of their own.
    PublicAndLoopback {
        /// The port.
        port: u16,
    },
    /// The public internet and this machine, with all of its ports: for a machine that serves its owner.
    PublicAndThisMachine,
}

impl Reach {
    const fn includes_port(self, port: u16) -> bool {
        match self {
            Self::Public => false,
            Self::PublicAndLoopback { port: allowed } => allowed == port,
            Self::PublicAndThisMachine => true,
        }
    }

    fn includes(self, address: IpAddr) -> bool {
        is_public(address) || (self != Self::Public && address.is_loopback())
    }
}

/// A request that was refused or failed. The texts are fit for a model or a user to read.
#[derive(Debug, thiserror::Error)]
pub enum EgressError {
    /// The address cannot be read.
    #[error("the URL is not valid: {0}")]
    Invalid(String),
    /// The scheme is neither http nor https.
    #[error("only http and https URLs can be requested")]
    Scheme,
    /// There is a user name or a password in the address.
    #[error("a URL with a user name or a password cannot be requested")]
    Credentials,
    /// The port is not one of those allowed.
    #[error("port {0} cannot be requested: only 80, 443, 8080 and 8443")]
    Port(u16),
    /// The host is, or resolves to, an address that is not public.
    #[error("the host {0:?} is not on the public internet")]
    NotPublic(String),
    /// The host's name has no address.
    #[error("the host {0:?} has no address")]
    Unresolved(String),
    /// One redirect too many.
    #[error("more than 5 redirects")]
    TooManyRedirects,
    /// The body is compressed although no compression was offered.
    #[error("the body is encoded as {0:?}, which is not read")]
    Encoding(String),
    /// It took too long.
    #[error("no complete answer within {0:?}")]
    Timeout(Duration),
    /// No connection, or one that broke.
    #[error("the connection failed")]
    Connection(#[source] reqwest::Error),
    /// The client cannot be built.
    #[error("the HTTP client cannot be built")]
    Client(#[source] reqwest::Error),
}

impl From<NameError> for EgressError {
    fn from(error: NameError) -> Self {
        match error {
            NameError::Unknown(host) => Self::Unresolved(host),
            NameError::NotPublic(host) => Self::NotPublic(host),
        }
    }
}

/// An address that may be requested, as far as can be told now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The address, normalised.
    pub url: Url,
    /// What its host resolves to.
    pub addresses: Vec<IpAddr>,
}

/// What came back.
#[derive(Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Where it came from, after redirects.
    pub url: Url,
    /// The status, whatever it is.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, or its beginning.
    pub body: Bytes,
    /// How much of the body that is.
    pub extent: Extent,
}

/// How much of a body was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// All of it.
    Whole,
    /// The first [`EgressSettings::max_body_bytes`].
    Beginning,
}

impl Fetched {
    /// The media type in lower case, without its parameters.
    #[must_use]
    pub fn content_type(&self) -> Option<String> {
        let value = self.headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
        let essence = value.split(';').next()?.trim();
        (!essence.is_empty()).then(|| essence.to_ascii_lowercase())
    }
}

impl fmt::Debug for Fetched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetched")
            .field("url", &self.url.host_str())
            .field("status", &self.status)
            .field("bytes", &self.body.len())
            .field("extent", &self.extent)
            .finish_non_exhaustive()
    }
}

/// The way out. Clones share one client.
#[derive(Clone)]
pub struct Egress {
    client: reqwest::Client,
    names: Guarded,
    settings: EgressSettings,
}

impl Egress {
    /// With the given TLS ([`crate::outbound::tls`]) and the machine's resolver.
    ///
    /// # Errors
    /// Where the client cannot be built.
    pub fn new(tls: rustls::ClientConfig, settings: EgressSettings) -> Result<Self, EgressError> {
        Self::with_resolver(tls, settings, Arc::new(SystemResolver))
    }

    /// As [`Egress::new`], with another resolver.
    ///
    /// # Errors
    /// Where the client cannot be built.
    #[expect(clippy::disallowed_methods, reason = "addresses that users name need a client of their own")]
    pub fn with_resolver(
        tls: rustls::ClientConfig,
        settings: EgressSettings,
        resolver: Arc<dyn Resolver>,
    ) -> Result<Self, EgressError> {
        let names = Guarded::new(resolver, settings.reach);
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .dns_resolver(Arc::new(names.clone()))
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .pool_max_idle_per_host(0)
            .connect_timeout(settings.connect_timeout)
            .user_agent(concat!("orrery/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(EgressError::Client)?;
        Ok(Self { client, names, settings })
    }

    /// What can be reached.
    #[must_use]
    pub const fn reach(&self) -> Reach {
        self.settings.reach
    }

    /// Says whether the address could be requested now. A request checks again.
    ///
    /// # Errors
    /// As [`Egress::get`], before the connection.
    pub async fn check(&self, url: &str) -> Result<Target, EgressError> {
        let url = target::screen(url, self.settings.reach)?;
        let addresses = match url.host() {
            Some(Host::Ipv4(address)) => vec![IpAddr::V4(address)],
            Some(Host::Ipv6(address)) => vec![IpAddr::V6(address)],
            Some(Host::Domain(name)) => {
                let wait = self.settings.connect_timeout;
                tokio::time::timeout(wait, self.names.addresses(name))
                    .await
                    .map_err(|_| EgressError::Timeout(wait))??
            }
            None => Vec::new(),
        };
        Ok(Target { url, addresses })
    }

    /// Reads an address, following up to five redirects. No header of ours but `Accept` and `User-Agent` is sent.
    ///
    /// # Errors
    /// Where the address, or one that it redirects to, may not be requested, or no answer came. A status of failure is
    /// an answer.
    pub async fn get(&self, url: &str) -> Result<Fetched, EgressError> {
        self.in_time(self.follow(url)).await
    }

    /// Sends a body to an address, with these headers. Redirects are not followed: they are the answer.
    ///
    /// # Errors
    /// As [`Egress::get`].
    pub async fn post(&self, url: &str, headers: HeaderMap, body: Bytes) -> Result<Fetched, EgressError> {
        self.in_time(async {
            let url = target::screen(url, self.settings.reach)?;
            let response = send(self.client.post(url.clone()).headers(headers).body(body)).await?;
            self.read(url, response).await
        })
        .await
    }

    async fn in_time(
        &self,
        request: impl Future<Output = Result<Fetched, EgressError>>,
    ) -> Result<Fetched, EgressError> {
        let total = self.settings.total_timeout;
        tokio::time::timeout(total, request).await.map_err(|_| EgressError::Timeout(total))?
    }

    async fn follow(&self, url: &str) -> Result<Fetched, EgressError> {
        let mut url = target::screen(url, self.settings.reach)?;
        for _ in 0..=MAX_REDIRECTS {
            let request = self.client.get(url.clone()).header(header::ACCEPT, HeaderValue::from_static("*/*"));
            let response = send(request).await?;
            match redirect(&url, &response)? {
                Some(next) => {
                    target::screen_parsed(&next, self.settings.reach)?;
                    url = next;
                }
                None => return self.read(url, response).await,
            }
        }
        Err(EgressError::TooManyRedirects)
    }

    async fn read(&self, url: Url, mut response: Response) -> Result<Fetched, EgressError> {
        if let Some(encoding) = response.headers().get(header::CONTENT_ENCODING)
            && !encoding.as_bytes().eq_ignore_ascii_case(b"identity")
        {
            let name = String::from_utf8_lossy(encoding.as_bytes()).chars().take(40).collect();
            return Err(EgressError::Encoding(name));
        }
        let (status, headers) = (response.status(), response.headers().clone());
        let mut body = BytesMut::new();
        let mut extent = Extent::Whole;
        while let Some(chunk) = response.chunk().await.map_err(failure)? {
            let room = self.settings.max_body_bytes - body.len();
            body.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if chunk.len() > room {
                extent = Extent::Beginning;
                break;
            }
        }
        Ok(Fetched { url, status, headers, body: body.freeze(), extent })
    }
}

impl fmt::Debug for Egress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Egress").field("settings", &self.settings).finish_non_exhaustive()
    }
}

async fn send(request: RequestBuilder) -> Result<Response, EgressError> {
    request.send().await.map_err(failure)
}

/// Where a redirect leads; none where the response is not one.
fn redirect(from: &Url, response: &Response) -> Result<Option<Url>, EgressError> {
    let location = match response.status().as_u16() {
        301 | 302 | 303 | 307 | 308 => response.headers().get(header::LOCATION),
        _ => None,
    };
    let Some(location) = location else { return Ok(None) };
    let location = String::from_utf8_lossy(location.as_bytes());
    let next = from.join(&location).map_err(|error| EgressError::Invalid(format!("in a redirect: {error}")))?;
    Ok(Some(next))
}

/// The client's failure in our words: the guard's refusal comes back wrapped in a connection error.
fn failure(error: reqwest::Error) -> EgressError {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(refusal) = cause.downcast_ref::<NameError>() {
            return refusal.clone().into();
        }
        source = cause.source();
    }
    EgressError::Connection(error.without_url())
}

#[cfg(test)]
mod tests;
