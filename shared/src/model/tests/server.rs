//! A server on the loopback interface that answers as it is told, one step a request, and remembers what it was sent.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;

/// What the server does with one request.
pub(super) enum Step {
    /// Writes these pieces, each after a pause of so many milliseconds, and closes.
    Reply(Vec<(u64, Vec<u8>)>),
    /// Writes this and waits until the client closes.
    Hold(Vec<u8>),
    /// Writes this, and keeps the connection for the next step.
    Keep(Vec<u8>),
}

/// What the server saw.
#[derive(Debug)]
pub(super) enum Seen {
    /// A request: when, on which connection, its head in lower case, its body.
    Request { at: Instant, connection: usize, head: String, body: String },
    /// The client closed a connection that was held.
    Closed,
}

pub(super) struct Server {
    pub(super) url: String,
    seen: UnboundedReceiver<Seen>,
}

impl Server {
    pub(super) fn start(steps: Vec<Step>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (sender, seen) = unbounded_channel();
        thread::spawn(move || serve(&listener, steps, &sender));
        Self { url, seen }
    }

    /// What comes next; it has to come soon.
    pub(super) async fn next(&mut self) -> Seen {
        timeout(Duration::from_secs(5), self.seen.recv()).await.expect("nothing more was seen").unwrap()
    }

    pub(super) async fn request(&mut self) -> (Instant, String, String) {
        match self.next().await {
            Seen::Request { at, head, body, .. } => (at, head, body),
            Seen::Closed => panic!("closed"),
        }
    }

    /// How many requests came that were not taken yet.
    pub(super) fn count(&mut self) -> usize {
        let mut count = 0;
        while let Ok(seen) = self.seen.try_recv() {
            count += usize::from(matches!(seen, Seen::Request { .. }));
        }
        count
    }
}

fn serve(listener: &TcpListener, steps: Vec<Step>, seen: &UnboundedSender<Seen>) {
    let mut steps = steps.into_iter().peekable();
    let mut connection = 0;
    while steps.peek().is_some() {
        let Ok((stream, _)) = listener.accept() else { return };
        connection += 1;
        stream.set_nodelay(true).unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        while steps.peek().is_some() {
            let Some((head, body)) = read_request(&mut reader) else { break };
            let _ = seen.send(Seen::Request { at: Instant::now(), connection, head, body });
            if !take(steps.next().unwrap(), &stream, &mut reader, seen) {
                break;
            }
        }
    }
}

/// Whether the connection is kept.
fn take(step: Step, mut stream: &TcpStream, reader: &mut impl Read, seen: &UnboundedSender<Seen>) -> bool {
    match step {
        Step::Reply(pieces) => {
            for (pause, piece) in pieces {
                thread::sleep(Duration::from_millis(pause));
                if stream.write_all(&piece).is_err() {
                    break;
                }
            }
            false
        }
        Step::Hold(bytes) => {
            stream.write_all(&bytes).unwrap();
            let _ = reader.read(&mut [0]);
            let _ = seen.send(Seen::Closed);
            false
        }
        Step::Keep(bytes) => stream.write_all(&bytes).is_ok(),
    }
}

fn read_request(reader: &mut impl BufRead) -> Option<(String, String)> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let head = head.to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |n| n.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((head, String::from_utf8(body).unwrap()))
}

/// A whole response with that status, headers (each with its line end) and body.
pub(super) fn reply(status: u16, headers: &str, body: &str) -> Step {
    let length = body.len();
    let response =
        format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n{headers}connection: close\r\n\r\n{body}");
    Step::Reply(vec![(0, response.into_bytes())])
}

/// The head of a stream that ends with the connection.
pub(super) const STREAM: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";

/// A stream that tells this and ends.
pub(super) fn stream(body: &str) -> Step {
    Step::Reply(vec![(0, format!("{STREAM}{body}").into_bytes())])
}
