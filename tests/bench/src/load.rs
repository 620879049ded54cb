//! Requests over connections that stay open, as fast as they are answered.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::Outcome;
use crate::figures::{median, millis, quantile};
use crate::upstream::{Upstream, token};
use crate::wire::{Wire, message};

/// A request that is sent again and again.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    pub(crate) request: Arc<[u8]>,
}

impl Target {
    pub(crate) fn post(address: SocketAddr, path: &str, key: &str, body: &str) -> Self {
        let headers = format!("Host: {address}\r\nContent-Type: application/json\r\nAuthorization: Bearer {key}\r\n");
        Self { address, request: message(&format!("POST {path} HTTP/1.1"), &headers, body.as_bytes()).into() }
    }
}

/// What came of it.
pub(crate) struct Load {
    pub(crate) requests: usize,
    pub(crate) seconds: f64,
    /// The milliseconds that each request took.
    pub(crate) times: Vec<f64>,
}

impl Load {
    #[expect(clippy::cast_precision_loss, reason = "a count of requests")]
    pub(crate) fn count(&self) -> f64 {
        self.requests as f64
    }

    pub(crate) fn per_second(&self) -> f64 {
        self.count() / self.seconds
    }

    pub(crate) fn middle(&mut self) -> f64 {
        median(&mut self.times)
    }

    pub(crate) fn slow(&mut self) -> f64 {
        quantile(&mut self.times, 0.99)
    }
}

/// Sends requests over so many connections for this long.
pub(crate) async fn run(target: &Target, connections: usize, time: Duration) -> Outcome<Load> {
    let mut clients = JoinSet::new();
    let begun = Instant::now();
    for _ in 0..connections {
        let target = target.clone();
        clients.spawn(async move {
            let mut wire = Wire::connect(target.address).await?;
            let mut times = Vec::new();
            while begun.elapsed() < time {
                let sent = Instant::now();
                exchange(&mut wire, &target.request, |_, _| {}).await?;
                times.push(millis(sent.elapsed()));
            }
            Outcome::Ok(times)
        });
    }
    let mut times = Vec::new();
    while let Some(done) = clients.join_next().await {
        times.extend(done??);
    }
    Ok(Load { requests: times.len(), seconds: begun.elapsed().as_secs_f64(), times })
}

/// One request, which must be answered with 200; each piece of the reply is shown as it comes.
pub(crate) async fn exchange(wire: &mut Wire, request: &[u8], mut see: impl FnMut(Instant, &[u8])) -> Outcome<()> {
    wire.send(request).await?;
    let head = wire.head().await?.ok_or("the server hung up")?;
    let mut rest = head.rest();
    let mut last = Vec::new();
    while let Some(piece) = wire.piece(&mut rest).await? {
        see(Instant::now(), &piece);
        last = piece;
    }
    if head.line().contains(" 200 ") {
        Ok(())
    } else {
        Err(format!("{}: {}", head.line(), String::from_utf8_lossy(&last)).into())
    }
}

/// The milliseconds to the first token since the request, and to each later one since the provider sent it.
pub(crate) async fn paced(upstream: &Upstream, target: &Target) -> Outcome<(f64, f64)> {
    let mut wire = Wire::connect(target.address).await?;
    let (mut first, mut later) = (Vec::new(), Vec::new());
    for round in 0..22 {
        let asked = Instant::now();
        let mut pieces = Vec::new();
        exchange(&mut wire, &target.request, |at, piece| {
            pieces.push((at, String::from_utf8_lossy(piece).into_owned()));
        })
        .await?;
        // The first ones warm the connections up.
        if round < 2 {
            continue;
        }
        for (number, sent) in upstream.take_sent().into_iter().enumerate() {
            let marker = token(number);
            let arrival = pieces.iter().find(|(_, piece)| piece.contains(marker.trim()));
            let (at, _) = arrival.ok_or("a token is missing")?;
            if number == 0 {
                first.push(millis(*at - asked));
            } else {
                later.push(millis(*at - sent));
            }
        }
    }
    Ok((median(&mut first), median(&mut later)))
}
