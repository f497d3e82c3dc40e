//! `pre` and `post` of a job: a command before its backups, and one behind them.
//!
//! Nothing that it does keeps the service: it is told to end when it has taken too long, or when the service ends, and is killed if it
//! does not. It is not given the environment of the service, in which secrets may be.

use std::ffi::{OsStr, OsString};
use std::io::{self, PipeReader, Read as _};
use std::os::fd::AsFd as _;
use std::process::{Child, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use brackup::outcome::Outcome;
use brackup::shell;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::term::{self, Failure};

/// How long a command may take.
const MOST: Duration = Duration::from_secs(3600);
/// How long one that is told to end may take for it.
const GRACE: Duration = Duration::from_secs(2);
/// How long a signal may have to wait.
const SLICE: Duration = Duration::from_millis(100);
/// Lines that it says which go to the log, and bytes of each.
const LINES_MAX: usize = 100;
const LINE_BYTES_MAX: usize = 512;
/// What is left in a pipe when its writer has ended, in pieces of that.
const READS_MAX: usize = 128;
/// One that runs, or ran.
pub(super) struct Around<'a> {
    /// Of which job.
    pub(super) job: &'a str,
    /// `pre` or `post`.
    pub(super) what: &'static str,
    pub(super) command: &'a OsStr,
    /// How long it may go on when it is to stop.
    pub(super) patience: Duration,
    pub(super) is_quiet: bool,
}

impl Around<'_> {
    /// Runs it to its end, or until it is to stop. What it says goes to the log.
    pub(super) fn run(&self, environment: &[(&str, OsString)], stop: &AtomicBool) -> Result<(), Failure> {
        let what = self.what;
        let failed = |error: io::Error| Failure::new(Outcome::Failed, format!("{what} can't be run: {error}"));
        let (said, say) = io::pipe().map_err(failed)?;
        let mut command = shell::of(self.command);
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(say.try_clone().map_err(failed)?).stderr(say);
        let child = command.spawn().map_err(failed)?;
        // The writing ends that are ours go with it: those that are left are the command's.
        drop(command);
        let mut running = Running { child, said: Some(said), line: Vec::new(), lines: 0, of: self };
        let (status, why) = running.wait(stop).map_err(failed)?;
        match why {
            Some(why) => Err(Failure::new(Outcome::Failed, format!("{what} was ended: {why}"))),
            None if status.success() => Ok(()),
            None => Err(Failure::new(Outcome::Failed, format!("{what} failed: {status}"))),
        }
    }
}

/// A child and what it says.
struct Running<'a> {
    child: Child,
    said: Option<PipeReader>,
    line: Vec<u8>,
    lines: usize,
    of: &'a Around<'a>,
}

impl Running<'_> {
    /// Its end; and why it was ended, if it was.
    fn wait(&mut self, stop: &AtomicBool) -> io::Result<(ExitStatus, Option<&'static str>)> {
        let (began, mut stop_seen) = (Instant::now(), None);
        let mut told: Option<(Instant, &str)> = None;
        loop {
            self.hear(SLICE);
            if let Some(status) = self.child.try_wait()? {
                if let Some((at, _)) = told {
                    self.end_what_it_started(at);
                }
                // What it has left in the background may hold the pipe for ever.
                let _ = (0..READS_MAX).take_while(|_| self.hear(Duration::ZERO)).count();
                self.tell();
                return Ok((status, told.map(|(_, why)| why)));
            }
            if stop.load(Ordering::Relaxed) {
                stop_seen.get_or_insert_with(Instant::now);
            }
            let is_to_stop = stop_seen.is_some_and(|seen| seen.elapsed() >= self.of.patience);
            match told {
                Some((at, _)) if at.elapsed() > GRACE => self.signal(Signal::SIGKILL),
                Some(_) => {}
                None if is_to_stop || began.elapsed() > MOST => {
                    let why = if is_to_stop { "the run is to stop" } else { "it took more than an hour" };
                    told = Some((Instant::now(), why));
                    self.signal(Signal::SIGTERM);
                }
                None => {}
            }
        }
    }

    /// What the shell has started may outlive it: nothing of it works on beside what comes next. The number of a group is nobody else's
    /// while one of it is there.
    fn end_what_it_started(&self, told: Instant) {
        let Ok(group) = i32::try_from(self.child.id()) else { return };
        let is_there = || killpg(Pid::from_raw(group), None).is_ok();
        while is_there() {
            if told.elapsed() > GRACE {
                let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
                return;
            }
            std::thread::sleep(SLICE);
        }
    }

    /// To it and to what it started itself. It has not been waited for: the number is still its own.
    fn signal(&self, signal: Signal) {
        if let Ok(group) = i32::try_from(self.child.id()) {
            let _ = killpg(Pid::from_raw(group), signal);
        }
    }

    /// Waits for something that it says, so long; whether there was something.
    fn hear(&mut self, most: Duration) -> bool {
        let Some(said) = &mut self.said else {
            std::thread::sleep(most);
            return false;
        };
        let mut ready = [PollFd::new(said.as_fd(), PollFlags::POLLIN)];
        let most = PollTimeout::try_from(most).unwrap_or(PollTimeout::ZERO);
        if !matches!(poll(&mut ready, most), Ok(1..)) {
            return false;
        }
        let mut bytes = [0; LINE_BYTES_MAX];
        let length = said.read(&mut bytes).unwrap_or(0);
        if length == 0 {
            self.said = None;
        }
        for byte in &bytes[..length] {
            match byte {
                b'\n' => self.tell(),
                byte if self.line.len() < LINE_BYTES_MAX => self.line.push(*byte),
                _ => {}
            }
        }
        length > 0
    }

    /// A line is at its end.
    fn tell(&mut self) {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() || self.of.is_quiet {
            return;
        }
        let of = self.of;
        match self.lines {
            lines if lines < LINES_MAX => {
                term::note(&format!("job {}: {}: {}", of.job, of.what, String::from_utf8_lossy(&line)));
            }
            LINES_MAX => term::note(&format!("job {}: {}: it says more, which is left out", of.job, of.what)),
            _ => return,
        }
        self.lines += 1;
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            self.signal(Signal::SIGKILL);
            let _ = self.child.wait();
        }
    }
}
