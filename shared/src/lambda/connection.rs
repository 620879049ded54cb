//! One connection to the Runtime API: kept alive, and without Nagle's algorithm, which would hold each frame back until
//! the one before it is acknowledged, some 40 ms later.

use std::time::Duration;

use axum::body::Body;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Where the Runtime API is: `host:port`, as Lambda names it, or a URL with a path, as local emulators do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    /// `host:port`.
    pub(super) authority: String,
    /// What stands before each path, without a slash at its end.
    pub(super) prefix: String,
}

impl Address {
    /// Reads `AWS_LAMBDA_RUNTIME_API`.
    pub(super) fn new(text: &str) -> Self {
        let text = text.strip_prefix("http://").unwrap_or(text);
        let (authority, prefix) = text.split_at(text.find('/').unwrap_or(text.len()));
        let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let authority = if has_port { authority.to_owned() } else { format!("{authority}:80") };
        Self { authority, prefix: prefix.trim_end_matches('/').to_owned() }
    }
}

/// A connection that did not come about.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    /// Nobody listens, or nobody accepts.
    #[error("the Runtime API cannot be reached")]
    Refused(#[from] std::io::Error),
    /// It took too long.
    #[error("the Runtime API cannot be reached in time")]
    Late(#[from] tokio::time::error::Elapsed),
    /// No HTTP is spoken on it.
    #[error("the Runtime API cannot be spoken to")]
    Handshake(#[from] hyper::Error),
    /// It was closed before anything was sent.
    #[error("the Runtime API hangs up")]
    Closed,
}

/// An open connection. Dropping it closes it, and drops the reply that is on its way.
pub(super) struct Connection {
    sender: SendRequest<Body>,
    /// Moves the bytes.
    _driver: JoinSet<()>,
}

impl Connection {
    /// Connects.
    pub(super) async fn open(address: &Address) -> Result<Self, ConnectError> {
        let stream = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(&address.authority)).await??;
        stream.set_nodelay(true)?;
        // A burst of frames leaves in one write; side by side, no more than 16 pieces do.
        let (sender, connection) = http1::Builder::new().writev(false).handshake(TokioIo::new(stream)).await?;
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to the Runtime API ended");
            }
        });
        Ok(Self { sender, _driver: driver })
    }

    /// Waits until the last exchange is over; false where the connection is.
    pub(super) async fn is_ready(&mut self) -> bool {
        self.sender.ready().await.is_ok()
    }

    /// Sends a request and waits for the head of the answer, which may come before the request's body is sent.
    ///
    /// # Errors
    /// Where the connection is cut; a request of which nothing was sent comes back.
    pub(super) async fn send(
        &mut self,
        request: Request<Body>,
    ) -> Result<Response<Incoming>, TrySendError<Request<Body>>> {
        self.sender.try_send_request(request).await
    }
}
