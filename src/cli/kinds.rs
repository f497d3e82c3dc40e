//! What the commands take that are about a kind of section, or about keys.

use std::path::PathBuf;

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum AlertCommand {
    /// Tell somebody that this is a test, and say whether it went through
    Test {
        /// An [ALERT:x]
        alert: String,
        /// What is told: start, success, failure, problems or overdue [default: success]
        #[arg(long, value_name = "EVENT")]
        event: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Check the configuration and show what it means
    Check,
}

#[derive(Debug, Subcommand)]
pub(crate) enum HostCommand {
    /// Make a token for another host, and print the sections for both configurations; nothing is written
    Add {
        /// What the host is called here
        name: String,
        /// The folder of its objects [default: NAME beside the folders of other hosts]
        #[arg(long, value_name = "DIR")]
        path: Option<PathBuf>,
        /// What its objects may have in all [default: half of what is free there]
        #[arg(long, value_name = "SIZE")]
        quota: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Show the public key and the key id of a secret key file
    Show {
        /// The secret key file
        file: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum TargetCommand {
    /// Try whether a target does what a backup relies on; what is stored for that is removed again
    Check {
        /// A [TARGET:x], or filesystem:/path [default: the only target of the configuration]
        target: Option<String>,
    },
    /// Log in at a target of Google Drive: prints an address and a code, and waits until the code was entered in a browser anywhere
    Login {
        /// A [TARGET:x]
        target: String,
    },
}
