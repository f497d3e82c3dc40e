//! The options of `brackup serve`.

use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Log to the system's log instead of stderr [default socket: /dev/log]
    #[arg(long, value_name = "SOCKET", num_args = 0..=1, require_equals = true, default_missing_value = "/dev/log")]
    pub(crate) syslog: Option<PathBuf>,
    /// Ask for the password of the page, keep what it is known by in `key_dir`, and end
    #[cfg(feature = "web")]
    #[arg(long, conflicts_with = "syslog")]
    pub(crate) set_password: bool,
    /// Print a token for programs that ask for the status, and end
    #[cfg(feature = "web")]
    #[arg(long, conflicts_with = "syslog")]
    pub(crate) new_token: bool,
}
