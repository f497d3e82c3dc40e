//! A command of the owner's, for `/bin/sh`.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// What it gets of the environment.
const ENVIRONMENT: [&str; 4] = ["PATH", "HOME", "TZ", "LANG"];
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// It, in a group of its own, with which what it starts can be ended too. Not what else the service has in its environment: there may be
/// secrets in it.
pub fn of(command: &OsStr) -> Command {
    let mut shell = Command::new("/bin/sh");
    shell.arg("-c").arg(command).env_clear().env("PATH", PATH).process_group(0);
    shell.envs(ENVIRONMENT.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    shell
}
