//! Work that burns CPU and that its author might never let end: JavaScript, schema checks, HTML.
//!
//! Each piece runs on a thread of its own, a few at once in a process. It is asked to stop when its time is over or when
//! nobody waits for it any more; if it does not hear (a long loop within a library), its caller is answered all the same
//! and the thread, with its place, is left to end by itself. It is no `spawn_blocking`: a runtime that shuts down would
//! wait for such a thread, and the stack could not be chosen.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, oneshot};

/// How many pieces run at once in a process.
const PLACES: usize = 4;
static FREE: Semaphore = Semaphore::const_new(PLACES);

/// How long after its end a piece may still say how it ended.
const GRACE: Duration = Duration::from_millis(250);

/// Asks a piece of work to stop.
#[derive(Clone, Debug)]
pub(super) struct Stop {
    deadline: Instant,
    abandoned: Arc<AtomicBool>,
}

impl Stop {
    fn after(time: Duration) -> Self {
        Self { deadline: Instant::now() + time, abandoned: Arc::default() }
    }

    /// Whether the time is over or nobody waits.
    pub(super) fn is_due(&self) -> bool {
        self.abandoned.load(Ordering::Relaxed) || Instant::now() >= self.deadline
    }
}

/// Tells the work that nobody waits, wherever the waiting ends.
struct Waiting(Stop);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.abandoned.store(true, Ordering::Relaxed);
    }
}

/// Work that gave no result.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum WorkerError {
    /// All places were taken for all of the time.
    #[error("no place to run it became free in time; try again later")]
    Busy,
    /// It was still running at its end.
    #[error("it did not end in time")]
    Overrun,
    /// It ended without a result, or could not be started.
    #[error("it could not be run")]
    Failed,
}

/// Runs `work` on a thread with `stack` bytes. It has `time` from its start, and waits for a place no longer than that.
pub(super) async fn run<T: Send + 'static>(
    time: Duration,
    stack: usize,
    work: impl FnOnce(&Stop) -> T + Send + 'static,
) -> Result<T, WorkerError> {
    let place = tokio::time::timeout(time, FREE.acquire()).await.map_err(|_| WorkerError::Busy)?;
    let place = place.map_err(|_| WorkerError::Busy)?;
    let waiting = Waiting(Stop::after(time));
    let stop = waiting.0.clone();
    let (sender, receiver) = oneshot::channel();
    std::thread::Builder::new()
        .name("tool".to_owned())
        .stack_size(stack)
        .spawn(move || {
            let _place = place;
            let result = work(&stop);
            let _ = sender.send(result);
        })
        .map_err(|_| WorkerError::Failed)?;
    match tokio::time::timeout(time + GRACE, receiver).await {
        Ok(result) => result.map_err(|_| WorkerError::Failed),
        Err(_) => Err(WorkerError::Overrun),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const STACK: usize = 1 << 20;

    fn spin(stop: &Stop) -> bool {
        while !stop.is_due() {
            std::thread::yield_now();
        }
        true
    }

    #[tokio::test]
    async fn a_result_comes_back() {
        assert_eq!(run(Duration::from_secs(5), STACK, |_| 7).await, Ok(7));
    }

    #[tokio::test]
    async fn work_is_told_when_its_time_is_over() {
        assert_eq!(run(Duration::from_millis(20), STACK, spin).await, Ok(true));
    }

    #[tokio::test]
    async fn work_that_does_not_listen_is_left() {
        let (release, held) = mpsc::channel::<()>();
        let work = move |_: &Stop| held.recv().is_ok();
        assert_eq!(run(Duration::from_millis(20), STACK, work).await, Err(WorkerError::Overrun));
        drop(release);
    }

    #[tokio::test]
    async fn work_is_told_when_nobody_waits() {
        let (told, hears) = oneshot::channel();
        let work = run(Duration::from_secs(60), STACK, move |stop| told.send(spin(stop)));
        assert!(tokio::time::timeout(Duration::from_millis(20), work).await.is_err());
        assert_eq!(tokio::time::timeout(Duration::from_secs(10), hears).await.unwrap(), Ok(true));
    }

    #[tokio::test]
    async fn work_that_panics_is_a_failure() {
        let work = |_: &Stop| -> u8 { panic!("on purpose") };
        assert_eq!(run(Duration::from_secs(5), STACK, work).await, Err(WorkerError::Failed));
    }
}
