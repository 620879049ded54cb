//! A table that fails when it is told to.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use embedded::EmbeddedDynamo;
use futures::FutureExt;
use futures::future::BoxFuture;
use shared::aws::Client;

/// How long the client waits for an answer that never comes.
const PATIENCE: Duration = Duration::from_secs(2);

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
    /// How many tries fail of each of these calls.
    pub tries: usize,
    /// How.
    pub fault: Fault,
    /// When.
    pub moment: Moment,
}

/// An embedded table between which and its client things go wrong. Clones share it.
#[derive(Clone)]
pub struct Faults {
    inner: EmbeddedDynamo,
    plan: Arc<Mutex<Plan>>,
}

#[derive(Default)]
struct Plan {
    strike: Option<Strike>,
    calls: BTreeMap<String, usize>,
    /// Each call that is hit, by its operation and its JSON, with its tries so far.
    hit: HashMap<(String, Bytes), usize>,
}

impl Faults {
    pub(crate) fn over(database: &EmbeddedDynamo) -> Self {
        Self { inner: database.clone(), plan: Arc::default() }
    }

    /// The client of it.
    pub(crate) fn client(&self) -> Client {
        let faults = self.clone();
        Client::in_process(Arc::new(move |target, body, attempt| faults.call(target, body, attempt)))
    }

    fn call(&self, target: &str, body: Bytes, attempt: u32) -> BoxFuture<'static, io::Result<(u16, Bytes)>> {
        let Some((fault, moment)) = self.next(target, &body, attempt) else { return self.inner.call(target, body) };
        let call = (moment == Moment::After).then(|| self.inner.call(target, body));
        async move {
            if let Some(call) = call {
                let _lost = call.await;
            }
            fault.outcome().await
        }
        .boxed()
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

    fn next(&self, target: &str, body: &Bytes, attempt: u32) -> Option<(Fault, Moment)> {
        let operation = target.rsplit('.').next().unwrap_or_default();
        let call = (operation.to_owned(), body.clone());
        let plan = &mut *self.plan.lock().unwrap();
        if attempt == 1 {
            let count = plan.calls.entry(operation.to_owned()).or_default();
            plan.hit.remove(&call);
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
    async fn outcome(self) -> io::Result<(u16, Bytes)> {
        let (status, name) = match self {
            Self::InternalError => (500, "InternalServerError"),
            Self::Throttled => (400, "ThrottlingException"),
            Self::Reset => return Err(io::ErrorKind::ConnectionReset.into()),
            Self::Silence => {
                tokio::time::sleep(PATIENCE).await;
                return Err(io::ErrorKind::TimedOut.into());
            }
        };
        let body = format!(r#"{{"__type":"com.amazonaws.dynamodb.v20120810#{name}","message":"as told"}}"#);
        Ok((status, body.into()))
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faults").finish_non_exhaustive()
    }
}
