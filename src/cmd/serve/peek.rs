//! Who asks on this box itself how it stands: `brackup status`. By a socket without a file, named after the state that the service has, so
//! that it needs no password, no port and no certificate. Both sides look who is at the other end: there may be other users on the box.

use std::fs;
use std::io::{self, Write as _};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use brackup::config::{BoxOptions, Config};
use brackup::digest::Sha1;
use brackup::status::{self, Board, Report};
use brackup::thread;
use rustix::net::sockopt::socket_peercred;
use rustix::process::geteuid;

use super::super::alert::hostname;
use super::task;
use crate::term;

/// How long one side waits for the other.
pub(crate) const PATIENCE: Duration = Duration::from_secs(3);

const IN_USE: &str = "another `brackup serve`, here or in another container of this network, answers `brackup status` for this state_dir";

/// Answers who asks, from a thread of its own. It ends with this.
pub(super) struct Peek {
    state_dir: PathBuf,
    ends: Arc<AtomicBool>,
}

impl Peek {
    /// As the configuration is now.
    pub(super) fn change(peek: &mut Option<Self>, config: &Config, board: &Arc<Board>) {
        let is_same = |peek: &Self| config.page.is_some() && peek.state_dir == config.own.state_dir;
        if !peek.as_ref().is_some_and(is_same) {
            *peek = None;
            *peek = Self::open(config, board);
        }
    }

    /// Nothing: it can't be, which is in the log, or nobody tells the board how it stands.
    pub(super) fn open(config: &Config, board: &Arc<Board>) -> Option<Self> {
        if config.page.is_none() || cfg!(not(feature = "web")) {
            return None;
        }
        let opened = Self::at(&config.own, board.clone());
        let warn = |error: io::Error| match error.kind() {
            io::ErrorKind::AddrInUse => term::warning(IN_USE),
            _ => term::warning(&format!("`brackup status` will not be answered: {error}")),
        };
        opened.map_err(warn).ok()
    }

    fn at(own: &BoxOptions, board: Arc<Board>) -> io::Result<Self> {
        let (state_dir, ends) = (own.state_dir.clone(), Arc::new(AtomicBool::new(false)));
        let (listener, is_over) = (UnixListener::bind_addr(&address(&state_dir)?)?, ends.clone());
        let answer = move || {
            while !is_over.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok((stream, _)) => drop(tell(stream, &board)),
                    Err(_) => std::thread::sleep(PATIENCE),
                }
            }
        };
        thread::named("status").stack_size(thread::LINE_STACK_BYTES).spawn(answer)?;
        Ok(Self { state_dir, ends })
    }
}

impl Drop for Peek {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        // It wakes up by that. Nobody waits for it: somebody may be slow to read.
        drop(address(&self.state_dir).and_then(|address| UnixStream::connect_addr(&address)));
    }
}

fn tell(mut stream: UnixStream, board: &Board) -> io::Result<()> {
    let uid = socket_peercred(&stream)?.uid;
    if !uid.is_root() && uid != geteuid() {
        return Ok(());
    }
    stream.set_write_timeout(Some(PATIENCE))?;
    // It may have got its name after the service had begun.
    let report = Report { host: hostname(), ..board.report(task::now()) };
    stream.write_all(status::json(&report, true).to_string().as_bytes())
}

/// Where a service that has this state is asked. Nothing: there is none, or somebody else has its name.
pub(crate) fn ask(own: &BoxOptions) -> Option<UnixStream> {
    let stream = UnixStream::connect_addr(&address(&own.state_dir).ok()?).ok()?;
    let uid = socket_peercred(&stream).ok()?.uid;
    let is_of_state = || fs::metadata(&own.state_dir).is_ok_and(|state| state.uid() == uid.as_raw());
    (uid.is_root() || uid == geteuid() || is_of_state()).then_some(stream)
}

fn address(state_dir: &Path) -> io::Result<SocketAddr> {
    let state = Sha1::of(state_dir.as_os_str().as_bytes());
    SocketAddr::from_abstract_name(format!("brackup status {state}"))
}
