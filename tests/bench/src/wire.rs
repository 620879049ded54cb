//! HTTP/1.1 on a bare socket, for both ends: as little work as possible stands between a byte and its time.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::Outcome;

/// The longest head, in bytes.
const LONGEST_HEAD: usize = 64 * 1024;
const ROOM: usize = 64 * 1024;

/// A connection.
pub(crate) struct Wire {
    stream: TcpStream,
    held: Vec<u8>,
}

/// The first line and the headers of a message.
pub(crate) struct Head {
    text: String,
}

/// What is left of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// This many bytes.
    Bytes(usize),
    /// Chunks, to the empty one.
    Chunks,
}

impl Head {
    /// The first line.
    pub(crate) fn line(&self) -> &str {
        self.text.lines().next().unwrap_or_default()
    }

    /// A header, by its name in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut fields = self.text.lines().skip(1).filter_map(|line| line.split_once(':'));
        fields.find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    /// The body that follows.
    pub(crate) fn rest(&self) -> Rest {
        match self.header("content-length").and_then(|length| length.parse().ok()) {
            Some(length) => Rest::Bytes(length),
            None if self.header("transfer-encoding").is_some() => Rest::Chunks,
            None => Rest::Bytes(0),
        }
    }
}

impl Wire {
    pub(crate) fn new(stream: TcpStream) -> Outcome<Self> {
        stream.set_nodelay(true)?;
        Ok(Self { stream, held: Vec::with_capacity(ROOM) })
    }

    pub(crate) async fn connect(address: SocketAddr) -> Outcome<Self> {
        Self::new(TcpStream::connect(address).await?)
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) -> Outcome<()> {
        Ok(self.stream.write_all(bytes).await?)
    }

    /// The next message's head; `None` where the other side has hung up.
    pub(crate) async fn head(&mut self) -> Outcome<Option<Head>> {
        loop {
            if let Some(end) = find(&self.held, b"\r\n\r\n") {
                let head: Vec<u8> = self.held.drain(..end + 4).collect();
                return Ok(Some(Head { text: String::from_utf8(head)? }));
            }
            if self.held.len() > LONGEST_HEAD {
                return Err("a message's head does not end".into());
            }
            if !self.fill().await? {
                return Ok(None);
            }
        }
    }

    /// The next piece of a body as it came; `None` at its end.
    pub(crate) async fn piece(&mut self, rest: &mut Rest) -> Outcome<Option<Vec<u8>>> {
        match *rest {
            Rest::Bytes(0) => Ok(None),
            Rest::Bytes(left) => {
                self.want(1).await?;
                let piece: Vec<u8> = self.held.drain(..left.min(self.held.len())).collect();
                *rest = Rest::Bytes(left - piece.len());
                Ok(Some(piece))
            }
            Rest::Chunks => {
                let line_end = loop {
                    if let Some(end) = find(&self.held, b"\r\n") {
                        break end;
                    }
                    self.want(self.held.len() + 1).await?;
                };
                let line: Vec<u8> = self.held.drain(..line_end + 2).collect();
                let size = usize::from_str_radix(std::str::from_utf8(&line)?.trim(), 16)?;
                self.want(size + 2).await?;
                let mut piece: Vec<u8> = self.held.drain(..size + 2).collect();
                piece.truncate(size);
                if size == 0 {
                    *rest = Rest::Bytes(0);
                    return Ok(None);
                }
                Ok(Some(piece))
            }
        }
    }

    /// The rest of a body.
    pub(crate) async fn body(&mut self, mut rest: Rest) -> Outcome<Vec<u8>> {
        let mut body = Vec::new();
        while let Some(piece) = self.piece(&mut rest).await? {
            body.extend(piece);
        }
        Ok(body)
    }

    async fn want(&mut self, bytes: usize) -> Outcome<()> {
        while self.held.len() < bytes {
            if !self.fill().await? {
                return Err("the connection ended within a message".into());
            }
        }
        Ok(())
    }

    async fn fill(&mut self) -> Outcome<bool> {
        self.held.reserve(ROOM);
        Ok(self.stream.read_buf(&mut self.held).await? > 0)
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// A message with a body.
pub(crate) fn message(first_line: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{first_line}\r\n{headers}Content-Length: {}\r\n\r\n", body.len()).into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// A server on a free port of the loopback, for as long as it is kept.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    _accepting: JoinSet<()>,
}

/// What a server does with a connection.
pub(crate) trait Peer: Send + Sync + 'static {
    fn talk(self: Arc<Self>, wire: Wire) -> impl Future<Output = Outcome<()>> + Send;
}

impl Server {
    pub(crate) async fn start(peer: Arc<impl Peer>) -> Outcome<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let mut talks = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let peer = Arc::clone(&peer);
                talks.spawn(async move {
                    let Ok(wire) = Wire::new(stream) else { return };
                    // A process that is ended breaks its connections off.
                    let _ended = peer.talk(wire).await;
                });
                while talks.try_join_next().is_some() {}
            }
        });
        Ok(Self { address, _accepting: accepting })
    }
}
