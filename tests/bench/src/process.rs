//! A process under measurement: what it costs, as Linux tells it.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Outcome;

/// A child; it is ended when it is dropped.
pub(crate) struct Process {
    pub(crate) child: Child,
    /// When it was started.
    pub(crate) begun: Instant,
}

impl Process {
    /// Starts a binary with nothing but these variables.
    pub(crate) fn start(
        binary: &Path,
        arguments: &[&str],
        variables: &[(String, String)],
        output: Stdio,
    ) -> Outcome<Self> {
        let mut command = Command::new(binary);
        command.args(arguments).env_clear().envs(variables.iter().cloned());
        command.stdin(Stdio::null()).stdout(output).stderr(Stdio::null());
        let begun = Instant::now();
        let child = command.spawn().map_err(|error| format!("{}: {error}", binary.display()))?;
        Ok(Self { child, begun })
    }

    /// The time that all its threads have run (`schedstat`: user and system, to the nanosecond).
    pub(crate) fn cpu(&self) -> Outcome<Duration> {
        let mut nanoseconds = 0;
        for thread in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let line = fs::read_to_string(thread?.path().join("schedstat"))?;
            nanoseconds += line.split(' ').next().ok_or("no schedstat")?.parse::<u64>()?;
        }
        Ok(Duration::from_nanos(nanoseconds))
    }

    /// Resident memory, in KiB.
    pub(crate) fn resident(&self) -> Outcome<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }
}

/// Keeps the processors awake for as long as it is held, by work that gives way to all other. One that sleeps between two
/// messages wakes through its hypervisor and with cold caches, which doubles what the same work takes, or does not: the
/// figures of two runs could not be compared.
pub(crate) fn awake() -> Outcome<Vec<Process>> {
    // Within a bound, should nobody be left to end it.
    let arguments = ["--idle", "0", "/bin/sh", "-c", "ulimit -t 600; while :; do :; done"];
    let processors = std::thread::available_parallelism()?;
    (0..processors.get()).map(|_| Process::start(Path::new("/usr/bin/chrt"), &arguments, &[], Stdio::null())).collect()
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}
