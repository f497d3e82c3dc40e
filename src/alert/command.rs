//! A command of the owner's: what happened is in its environment and, as JSON, on its stdin.

use std::ffi::OsStr;
use std::io::{self, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, ChildStdin, ExitStatus, Stdio};
use std::time::Duration;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::{Error, Event, Until};
use crate::date::Utc;
use crate::shell;

/// Between two looks whether it has ended.
const LOOK: Duration = Duration::from_millis(20);
const OURS: &str = "BRACKUP_";

/// Runs it once: who knows what it has done before it failed. Whatever it has started ends with it.
pub(super) fn run(command: &str, event: &Event, until: Until<'_>) -> Result<(), Error> {
    let mut shell = shell::of(OsStr::new(command));
    let words = [
        ("EVENT", event.kind.word()),
        ("JOB", &event.job),
        ("HOSTNAME", &event.hostname),
        ("DATE", &Utc::from_unix(event.at).to_string()),
        ("MESSAGE", &event.message),
        ("OUTCOME", event.outcome.map_or("", |outcome| outcome.word())),
    ];
    for (name, word) in words {
        // No text from elsewhere has one; and if: the command is run all the same.
        shell.env(format!("{OURS}{name}"), word.replace('\0', ""));
    }
    shell.current_dir("/").stdin(Stdio::piped()).stdout(Stdio::null());
    let failed = |what: &str, error: io::Error| Error::new(format!("the command {what}: {error}"));
    let mut child = shell.spawn().map_err(|error| failed("can't be started", error))?;
    let json = event.to_json().to_string();
    let status = wait(&mut child, json.as_bytes(), until);
    if !matches!(status, Ok(Some(_))) {
        // Its group: what it has started too.
        let _ = killpg(Pid::from_raw(child.id().cast_signed()), Signal::SIGKILL);
        let _ = child.wait();
    }
    match status.map_err(|error| failed("can't be waited for", error))? {
        None => Err(Error::new("the command did not end in time and was killed")),
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(Error::new(match (status.code(), status.signal()) {
            (Some(code), _) => format!("the command ended with exit code {code}"),
            (_, signal) => format!("the command was ended by signal {}", signal.unwrap_or(0)),
        })),
    }
}

/// Until it has ended; nothing: it has not in time. It need not read what it is told.
fn wait(child: &mut Child, mut told: &[u8], until: Until<'_>) -> io::Result<Option<ExitStatus>> {
    let mut stdin = child.stdin.take().map(unblocked).transpose()?;
    loop {
        if let Some(pipe) = &mut stdin {
            match pipe.write(told) {
                Ok(written) => told = &told[written..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // It has closed it.
                Err(_) => told = &[],
            }
            if told.is_empty() {
                stdin = None;
            }
        }
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if until.is_over() {
            return Ok(None);
        }
        std::thread::sleep(LOOK);
    }
}

/// Who does not read must not be waited for.
fn unblocked(pipe: ChildStdin) -> io::Result<ChildStdin> {
    fcntl(&pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok(pipe)
}
