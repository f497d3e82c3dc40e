//! `brackup serve` under way, and what it logs.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A line that does not come within this will not come. No test depends on how much less it takes.
const PATIENCE: Duration = Duration::from_secs(120);

/// The program while it serves; it is killed when this goes.
pub(crate) struct Service {
    child: Child,
    lines: Receiver<String>,
    /// What was logged so far.
    pub(crate) log: Vec<String>,
}

impl Service {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let stderr = child.stderr.take().unwrap();
        let (send, lines) = channel();
        std::thread::spawn(move || BufReader::new(stderr).lines().try_for_each(|line| send.send(line.unwrap())));
        Self { child, lines, log: Vec::new() }
    }

    /// Waits for a line that contains this, and gives it.
    #[track_caller]
    pub(crate) fn says(&mut self, text: &str) -> String {
        loop {
            let Ok(line) = self.lines.recv_timeout(PATIENCE) else {
                panic!("{text:?} does not come:\n{}", self.log.join("\n"))
            };
            self.log.push(line.clone());
            if line.contains(text) {
                return line;
            }
        }
    }

    /// What it prints as data.
    #[cfg(feature = "mount")]
    pub(crate) fn stdout(&mut self) -> BufReader<std::process::ChildStdout> {
        BufReader::new(self.child.stdout.take().unwrap())
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid() as i32), signal).unwrap();
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it; gives its exit code and all that it logged.
    pub(crate) fn end(self) -> (Option<i32>, String) {
        self.signal(Signal::SIGTERM);
        self.wait()
    }

    /// Waits until it has ended; gives the same.
    pub(crate) fn wait(mut self) -> (Option<i32>, String) {
        let status = self.child.wait().unwrap();
        self.log.extend(self.lines.iter());
        (status.code(), std::mem::take(&mut self.log).join("\n"))
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
