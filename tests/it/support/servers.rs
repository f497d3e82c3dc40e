//! Whether a real server can be had. `tests/servers` installs them; `$BRACKUP_SERVERS` says what to make of one that is not there: a failure, if it is set.
//! `no` leaves them all out: where the tests run as on an old kernel, programs that are made for this one do not.

use std::path::Path;

/// Whether it is left out even where it can be had.
pub(crate) fn is_unwanted(name: &str) -> bool {
    let is_unwanted = std::env::var_os("BRACKUP_SERVERS").is_some_and(|wish| wish == "no");
    if is_unwanted {
        eprintln!("left out: {name}, as BRACKUP_SERVERS says");
    }
    is_unwanted
}

pub(crate) fn is_there(program: &Path, name: &str) -> bool {
    let wish = std::env::var("BRACKUP_SERVERS").ok();
    if is_unwanted(name) {
        return false;
    }
    if !program.exists() {
        assert!(wish.is_none(), "{} is not there: run tests/servers", program.display());
        eprintln!("left out: {name} is not installed; tests/servers does that");
    }
    program.exists()
}
