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

/// Everything that is measured and what it talks to, on one processor that does not sleep, for as long as this is held.
///
/// On a virtual machine a message to another processor, and one to a processor that sleeps, goes by way of the
/// hypervisor, which takes several times what Linux takes for the same message, or does not: the figures of two runs
/// could not be compared.
pub(crate) struct OneProcessor {
    pids: Vec<u32>,
    /// The processors that they may use otherwise.
    all: String,
    /// What keeps this one awake: work that gives way to all other.
    _idler: Process,
}

impl OneProcessor {
    /// Moves this process there, with those that it starts from now on, and these.
    pub(crate) fn hold(others: &[&Process]) -> Outcome<Self> {
        let status = fs::read_to_string("/proc/self/status")?;
        let all =
            status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).ok_or("no list of processors")?;
        let last = all.trim().rsplit([',', '-']).next().unwrap_or_default();
        let pids: Vec<_> = others.iter().map(|process| process.child.id()).chain([std::process::id()]).collect();
        pin(&pids, last)?;
        // Within a bound, should nobody be left to end it.
        let arguments = ["--idle", "0", "/bin/sh", "-c", "ulimit -t 600; while :; do :; done"];
        let idler = Process::start(Path::new("/usr/bin/chrt"), &arguments, &[], Stdio::null())?;
        Ok(Self { pids, all: all.trim().to_owned(), _idler: idler })
    }
}

impl Drop for OneProcessor {
    fn drop(&mut self) {
        // Others may have ended by now.
        let _back = pin(&self.pids, &self.all);
    }
}

/// Lets all threads of these processes run on these processors alone, and what they start from now on.
fn pin(pids: &[u32], processors: &str) -> Outcome<()> {
    for pid in pids {
        let arguments = ["--all-tasks", "--cpu-list", "--pid", processors, &pid.to_string()];
        let pinned = Command::new("/usr/bin/taskset").args(arguments).stdout(Stdio::null()).status()?;
        if !pinned.success() {
            return Err("taskset cannot pin a process".into());
        }
    }
    Ok(())
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}
