//! AWS's services that speak JSON: DynamoDB, SQS, Secrets Manager. A call is a signed `POST /` with the operation in
//! `x-amz-target`. <https://smithy.io/2.0/aws/protocols/aws-json-1_0-protocol.html>
//!
//! The official SDK takes 0.9 MB more of each function's zip for DynamoDB and Secrets Manager alone.

mod error;
mod sign;

pub use error::{AwsError, TransportError};

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::header::{self, HeaderName, HeaderValue};
use tokio::time::{Instant, sleep, timeout};
use url::Url;

use crate::clock::Clock;
use crate::config::Aws;
use sign::Signer;

const DATE: HeaderName = HeaderName::from_static("x-amz-date");
const SECURITY_TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");
const TARGET: HeaderName = HeaderName::from_static("x-amz-target");

/// How long one try of a call may take.
const TRY: Duration = Duration::from_secs(3);
/// How long a call may take with all its tries.
const CALL: Duration = Duration::from_secs(5);
/// How often a call is tried.
const TRIES: u32 = 3;
/// The longest pause after the first try, where something broke, and where the service asks to slow down; each further
/// one may be twice as long.
const PAUSES: [Duration; 2] = [Duration::from_millis(50), Duration::from_millis(500)];

/// A service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// The table.
    DynamoDb,
    /// Queues.
    Sqs,
    /// Secrets.
    SecretsManager,
}

impl Service {
    /// As its endpoint and signatures name it.
    const fn name(self) -> &'static str {
        match self {
            Self::DynamoDb => "dynamodb",
            Self::Sqs => "sqs",
            Self::SecretsManager => "secretsmanager",
        }
    }

    const fn content_type(self) -> HeaderValue {
        match self {
            Self::DynamoDb | Self::Sqs => HeaderValue::from_static("application/x-amz-json-1.0"),
            Self::SecretsManager => HeaderValue::from_static("application/x-amz-json-1.1"),
        }
    }

    /// Where it is.
    fn endpoint(self, aws: &Aws) -> String {
        let own = match self {
            Self::DynamoDb => &aws.dynamodb_endpoint,
            Self::Sqs => &aws.sqs_endpoint,
            Self::SecretsManager => &aws.secrets_endpoint,
        };
        own.clone().unwrap_or_else(|| {
            let suffix = if aws.region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
            format!("https://{}.{}.{suffix}", self.name(), aws.region)
        })
    }
}

/// What a service answered.
struct Answer {
    /// The HTTP status.
    status: u16,
    /// JSON.
    body: Bytes,
}

/// A service in this process: from an operation, its JSON and the number of the try to an HTTP status and JSON.
pub type InProcess = Arc<dyn Fn(&str, Bytes, u32) -> BoxFuture<'static, std::io::Result<(u16, Bytes)>> + Send + Sync>;

/// The client of one service. Clones share it.
#[derive(Clone)]
pub struct Client(Way);

#[derive(Clone)]
enum Way {
    Network(Arc<Network>),
    Process(InProcess),
}

struct Network {
    client: reqwest::Client,
    service: Service,
    /// Read once: a client that is handed text reads it with each call.
    endpoint: Result<Url, url::ParseError>,
    signer: Option<Signer>,
    clock: Clock,
}

impl Client {
    /// The service of the settings' region, reached through this HTTP client.
    #[must_use]
    pub fn new(client: reqwest::Client, clock: Clock, service: Service, aws: &Aws) -> Self {
        let endpoint = service.endpoint(aws);
        let signer = Signer::new(service.name(), &endpoint, aws);
        Self(Way::Network(Arc::new(Network { client, service, endpoint: endpoint.parse(), signer, clock })))
    }

    /// A service in this process.
    #[must_use]
    pub const fn in_process(service: InProcess) -> Self {
        Self(Way::Process(service))
    }

    /// Opens a connection, so that the first call finds it open. What comes of it does not matter.
    ///
    /// # Errors
    /// Where no connection comes about.
    pub async fn warm(&self) -> Result<(), TransportError> {
        if let Way::Network(network) = &self.0 {
            let response = network.client.get(network.endpoint()?).send().await.map_err(TransportError::broken)?;
            response.bytes().await.map_err(TransportError::broken)?;
        }
        Ok(())
    }

    /// Calls an operation (`DynamoDB_20120810.GetItem`) with a body of JSON; what fails in passing is tried again.
    ///
    /// # Errors
    /// Where the service refuses the call, or is not reached.
    pub async fn call(&self, target: &str, body: impl Into<Bytes>) -> Result<Bytes, AwsError> {
        let (body, began) = (body.into(), Instant::now());
        let mut tries = 0;
        loop {
            tries += 1;
            let error = match self.attempt(target, body.clone(), tries).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let pause = if error.is_throttling() { PAUSES[1] } else { PAUSES[0] };
            let pause = (pause * (1 << (tries - 1))).mul_f64(chance());
            if !error.is_transient() || tries == TRIES || began.elapsed() + pause > CALL {
                return Err(error);
            }
            tracing::debug!(target, tries, %error, "a call is tried again");
            sleep(pause).await;
        }
    }

    async fn attempt(&self, target: &str, body: Bytes, tries: u32) -> Result<Bytes, AwsError> {
        let answer = match &self.0 {
            Way::Network(network) => {
                timeout(TRY, network.call(target, body)).await.map_err(|_| TransportError::Silent)??
            }
            // It is waited for: a call that was given up here would go on, and be done twice.
            Way::Process(service) => {
                let (status, body) = service(target, body, tries).await.map_err(TransportError::broken)?;
                Answer { status, body }
            }
        };
        if (200..300).contains(&answer.status) { Ok(answer.body) } else { Err(AwsError::refused(answer)) }
    }
}

impl Network {
    fn endpoint(&self) -> Result<Url, TransportError> {
        self.endpoint.clone().map_err(TransportError::broken)
    }

    async fn call(&self, target: &str, body: Bytes) -> Result<Answer, AwsError> {
        let signer = self.signer.as_ref().ok_or(AwsError::NoCredentials)?;
        let signature = signer.sign(target, &body, self.clock.now());
        let mut request = self
            .client
            .post(self.endpoint()?)
            .header(header::CONTENT_TYPE, self.service.content_type())
            .header(TARGET, target)
            .header(DATE, signature.date)
            .header(header::AUTHORIZATION, signature.authorization);
        if let Some(token) = signer.token() {
            request = request.header(SECURITY_TOKEN, token);
        }
        let response = request.body(body).send().await.map_err(TransportError::broken)?;
        let status = response.status().as_u16();
        Ok(Answer { status, body: response.bytes().await.map_err(TransportError::broken)? })
    }
}

/// Shows neither credentials nor addresses.
impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let service = match &self.0 {
            Way::Network(network) => Some(network.service),
            Way::Process(_) => None,
        };
        f.debug_struct("Client").field("service", &service).finish_non_exhaustive()
    }
}

/// A number from 0 to 1, so that many who fail at once do not come again at once.
fn chance() -> f64 {
    let mut byte = [u8::MAX];
    let _full_pause_without = aws_lc_rs::rand::fill(&mut byte);
    f64::from(byte[0]) / f64::from(u8::MAX)
}
