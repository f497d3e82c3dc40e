//! Whether a real server can be had. `tests/servers` installs them; `$BRACKUP_SERVERS` says what to make of one that is not there: a failure, if it is set.
//! `no` leaves them all out: where the tests run as on an old kernel, programs that are made for this one do not.

#[cfg(feature = "s3")]
use std::fs::File;
use std::path::Path;
#[cfg(feature = "s3")]
use std::process::{Child, Command, Stdio};

/// Whether it is left out even where it can be had.
pub(crate) fn is_unwanted(name: &str) -> bool {
    let is_unwanted = std::env::var_os("BRACKUP_SERVERS").is_some_and(|wish| wish == "no");
    if is_unwanted {
        eprintln!("left out: {name}, as BRACKUP_SERVERS says");
    }
    is_unwanted
}

pub(crate) fn is_there(program: &Path, name: &str) -> bool {
    if is_unwanted(name) {
        return false;
    }
    if !program.exists() {
        assert!(std::env::var_os("BRACKUP_SERVERS").is_none(), "{} is not there: run tests/servers", program.display());
        eprintln!("left out: {name} is not installed; tests/servers does that");
    }
    program.exists()
}

/// Starts it in a folder of its own, where all goes that it writes, and what it says to [`log`].
#[cfg(feature = "s3")]
pub(crate) fn start_in(folder: &Path, command: &mut Command) -> Child {
    let log = File::create(folder.join("log")).unwrap();
    command.current_dir(folder).env("TMPDIR", folder);
    command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap()
}

/// What it has said so far.
#[cfg(feature = "s3")]
pub(crate) fn log(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("log")).unwrap_or_default()
}
