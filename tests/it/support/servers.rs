//! Whether a real server can be had. `tests/servers` installs them; `$BRACKUP_SERVERS` says what to make of one that is not there: a failure, if it is set.
//! `no` leaves them all out: where the tests run as on an old kernel, programs that are made for this one do not.

use std::path::Path;

pub(crate) fn is_there(program: &Path, name: &str) -> bool {
    let wish = std::env::var("BRACKUP_SERVERS").ok();
    if wish.as_deref() == Some("no") {
        eprintln!("left out: {name}, as BRACKUP_SERVERS says");
        return false;
    }
    if !program.exists() {
        assert!(wish.is_none(), "{} is not there: run tests/servers", program.display());
        eprintln!("left out: {name} is not installed; tests/servers does that");
    }
    program.exists()
}
