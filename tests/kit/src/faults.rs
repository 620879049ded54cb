//! A table that fails when it is told to.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::{RetryConfig, RetryPartition, TokenBucket};
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use embedded::EmbeddedDynamo;

/// What goes wrong with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The service has an error of its own.
    InternalError,
    /// The service asks to slow down.
    Throttled,
    /// The connection breaks.
    Reset,
    /// No answer ever comes.
    Silence,
}

/// When it goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Before the call took effect.
    Before,
    /// After it took effect: its reply is lost.
    After,
}

/// Which calls fail, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Strike {
    /// The operation, for example `PutItem`.
    pub operation: String,
    /// Which of its calls from now on; the first is 0.
    pub calls: Range<usize>,
    /// How many of the SDK's tries fail of each of these calls.
    pub tries: usize,
    /// How.
    pub fault: Fault,
    /// When.
    pub moment: Moment,
}

/// An embedded table between which and the SDK things go wrong. Clones share it.
#[derive(Clone)]
pub struct Faults {
    inner: SharedHttpConnector,
    plan: Arc<Mutex<Plan>>,
}

#[derive(Default)]
struct Plan {
    strike: Option<Strike>,
    calls: BTreeMap<String, usize>,
    /// Each call that is hit with its tries so far, by the id that the SDK gives to all tries of a call.
    hit: HashMap<String, usize>,
}

impl Faults {
    pub(crate) fn over(database: &EmbeddedDynamo) -> Self {
        Self { inner: SharedHttpConnector::new(database.clone()), plan: Arc::default() }
    }

    /// The SDK's client of it, which retries as ever, but quickly and without end to its patience over all calls.
    #[expect(clippy::disallowed_methods, reason = "a client over the embedded database alone")]
    pub(crate) fn client(&self) -> Client {
        let config = aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("local"))
            .credentials_provider(Credentials::new("local", "local", None, None, "test"))
            .retry_config(RetryConfig::standard().with_initial_backoff(Duration::from_millis(1)))
            .retry_partition(RetryPartition::custom("faults").token_bucket(TokenBucket::unlimited()).build())
            .http_client(self.clone());
        Client::from_conf(config.build())
    }

    /// From now on these calls fail.
    pub fn strike(&self, strike: Strike) {
        *self.plan.lock().unwrap() = Plan { strike: Some(strike), ..Plan::default() };
    }

    /// From now on no call fails, and calls are counted anew.
    pub fn heal(&self) {
        *self.plan.lock().unwrap() = Plan::default();
    }

    /// The calls since the last strike or healing, by operation.
    #[must_use]
    pub fn calls(&self) -> BTreeMap<String, usize> {
        self.plan.lock().unwrap().calls.clone()
    }

    fn next(&self, request: &HttpRequest) -> Option<(Fault, Moment)> {
        let header = |name: &str| request.headers().get(name).unwrap_or_default().to_owned();
        let (target, call) = (header("x-amz-target"), header("amz-sdk-invocation-id"));
        let operation = target.rsplit('.').next().unwrap_or_default();
        let plan = &mut *self.plan.lock().unwrap();
        if header("amz-sdk-request").starts_with("attempt=1") {
            let count = plan.calls.entry(operation.to_owned()).or_default();
            if plan.strike.as_ref().is_some_and(|strike| strike.operation == operation && strike.calls.contains(count))
            {
                plan.hit.insert(call.clone(), 0);
            }
            *count += 1;
        }
        let (strike, tries) = (plan.strike.as_ref()?, plan.hit.get_mut(&call)?);
        *tries += 1;
        (*tries <= strike.tries).then_some((strike.fault, strike.moment))
    }
}

impl Fault {
    async fn outcome(self) -> Result<HttpResponse, ConnectorError> {
        let (status, name) = match self {
            Self::InternalError => (500, "InternalServerError"),
            Self::Throttled => (400, "ThrottlingException"),
            Self::Reset => return Err(ConnectorError::io("connection reset by peer".into())),
            Self::Silence => std::future::pending().await,
        };
        let body = format!(r#"{{"__type":"com.amazonaws.dynamodb.v20120810#{name}","message":"as told"}}"#);
        let mut response = HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body));
        response.headers_mut().insert("content-type", "application/x-amz-json-1.0");
        Ok(response)
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faults").finish_non_exhaustive()
    }
}

impl HttpConnector for Faults {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let Some((fault, moment)) = self.next(&request) else { return self.inner.call(request) };
        let inner = self.inner.clone();
        HttpConnectorFuture::new(async move {
            if moment == Moment::After {
                let _lost = inner.call(request).await;
            }
            fault.outcome().await
        })
    }
}

impl HttpClient for Faults {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}
