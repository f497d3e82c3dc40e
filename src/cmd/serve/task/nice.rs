//! A job gives way to what the box is there for.

use std::ffi::OsStr;
use std::process::Stdio;

use brackup::shell;
use nix::unistd::gettid;

/// Makes this thread, and those that it starts, as nice as that. One that is nicer already stays so, and one that may not be is what it was:
/// the backup is made all the same.
pub(super) fn be(nice: u8, is_idle: bool) {
    let is_nicer = |now: i32| now >= i32::from(nice);
    if !rustix::process::getpriority_process(None).is_ok_and(is_nicer) {
        let _ = rustix::process::setpriority_process(None, nice.into());
    }
    if is_idle {
        // The call has no safe name, and util-linux and BusyBox have a program. Without it the kernel derives the class from how nice it is.
        let mut ionice = shell::of(OsStr::new(&format!("exec ionice -c 3 -p {}", gettid())));
        let _ = ionice.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}
