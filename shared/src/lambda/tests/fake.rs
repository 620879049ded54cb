//! A Runtime API of bare sockets.

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::super::connection::Address;
use super::{BEGIN, soon};

pub(super) struct Fake(TcpListener);

/// One connection of the function's.
pub(super) struct Peer(BufReader<TcpStream>);

pub(super) struct Head {
    pub(super) line: String,
    pub(super) headers: HeaderMap,
}

/// A reply, read to its end.
pub(super) struct Reply {
    pub(super) head: Head,
    pub(super) prelude: Value,
    pub(super) body: Vec<u8>,
    pub(super) trailers: HeaderMap,
}

impl Reply {
    pub(super) fn status(&self) -> u64 {
        self.prelude["statusCode"].as_u64().unwrap()
    }
}

impl Fake {
    pub(super) async fn start() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    pub(super) fn address(&self) -> Address {
        Address::new(&self.0.local_addr().unwrap().to_string())
    }

    pub(super) async fn accept(&self) -> Peer {
        let (stream, _) = soon(self.0.accept()).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Peer(BufReader::new(stream))
    }
}

impl Peer {
    async fn line(&mut self) -> String {
        let mut line = String::new();
        soon(self.0.read_line(&mut line)).await.unwrap();
        assert!(line.ends_with("\r\n"), "cut after {line:?}");
        line.truncate(line.len() - 2);
        line
    }

    async fn headers(&mut self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        loop {
            let line = self.line().await;
            let Some((name, value)) = line.split_once(": ") else {
                assert_eq!(line, "");
                return headers;
            };
            headers.append(name.parse::<HeaderName>().unwrap(), value.parse::<HeaderValue>().unwrap());
        }
    }

    pub(super) async fn head(&mut self) -> Head {
        Head { line: self.line().await, headers: self.headers().await }
    }

    /// The body of a request that tells its length.
    pub(super) async fn body(&mut self, head: &Head) -> Vec<u8> {
        let mut body = vec![0; head.headers["content-length"].to_str().unwrap().parse().unwrap()];
        soon(self.0.read_exact(&mut body)).await.unwrap();
        body
    }

    /// The next chunk; none at the end, before the trailers.
    pub(super) async fn chunk(&mut self) -> Option<Vec<u8>> {
        let length = usize::from_str_radix(&self.line().await, 16).unwrap();
        if length == 0 {
            return None;
        }
        let mut chunk = vec![0; length];
        soon(self.0.read_exact(&mut chunk)).await.unwrap();
        assert_eq!(self.line().await, "");
        Some(chunk)
    }

    pub(super) async fn trailers(&mut self) -> HeaderMap {
        self.headers().await
    }

    pub(super) async fn write(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
    }

    /// The function asks for an invocation.
    pub(super) async fn asked(&mut self) {
        assert_eq!(self.head().await.line, "GET /2018-06-01/runtime/invocation/next HTTP/1.1");
    }

    /// Gives it one that ends in a minute.
    pub(super) async fn invoke(&mut self, id: &str, event: &Value) {
        self.asked().await;
        self.hand_out(id, &event.to_string()).await;
    }

    pub(super) async fn hand_out(&mut self, id: &str, event: &str) {
        let (length, deadline) = (event.len(), BEGIN + 60_000);
        self.write(&format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nLambda-Runtime-Aws-Request-Id: {id}\r\n\
             Lambda-Runtime-Deadline-Ms: {deadline}\r\nLambda-Runtime-Trace-Id: Root=1-2-3\r\n\
             Lambda-Runtime-Invocation-Id: attempt-of-{id}\r\nContent-Length: {length}\r\n\r\n{event}"
        ))
        .await;
    }

    /// The reply, read to its end.
    pub(super) async fn reply(&mut self) -> Reply {
        let head = self.head().await;
        let mut bytes = Vec::new();
        while let Some(chunk) = self.chunk().await {
            bytes.extend(chunk);
        }
        let trailers = self.trailers().await;
        let end = bytes.windows(8).position(|window| window == [0; 8]).expect("a prelude");
        let prelude = serde_json::from_slice(&bytes[..end]).unwrap();
        Reply { head, prelude, body: bytes.split_off(end + 8), trailers }
    }

    pub(super) async fn accept_reply(&mut self) {
        self.write("HTTP/1.1 202 Accepted\r\nContent-Length: 15\r\n\r\n{\"status\":\"OK\"}").await;
    }

    /// The function closes the connection, in the midst of whatever it sent.
    pub(super) async fn is_closed(&mut self) {
        let mut rest = Vec::new();
        // A reset closes as well.
        let _reset = soon(self.0.read_to_end(&mut rest)).await;
    }

    /// Nothing comes.
    pub(super) async fn is_silent(&mut self) {
        let silence = tokio::time::timeout(std::time::Duration::from_millis(50), self.0.read_u8()).await;
        assert!(silence.is_err(), "{silence:?} came");
    }
}
