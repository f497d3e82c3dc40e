//! Lines for the system's log: datagrams to a local socket, after RFC 3164 as C libraries write it (without a host name).
//!
//! Nothing waits for the log: what can't be taken is dropped and counted. The socket is named anew with every line, so a log daemon
//! that was restarted gets the next one.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use brackup::date::Utc;
use brackup::scheduler::Zone;

/// Of RFC 3164: a longer line may be cut by whoever passes it on.
const LINE_BYTES_MAX: usize = 1024;
/// Facility `daemon`.
const FACILITY: u8 = 3;

/// A way to the system's log.
#[derive(Debug)]
pub(crate) struct Syslog {
    socket: UnixDatagram,
    path: PathBuf,
    zone: Zone,
    lost: AtomicU32,
}

impl Syslog {
    /// To the socket of this name, which need not be there yet.
    pub(crate) fn open(path: &Path, zone: Zone) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket, path: path.into(), zone, lost: AtomicU32::new(0) })
    }

    /// Sends a line as it would stand on a terminal: `brackup: error: …`.
    pub(crate) fn line(&self, text: &str) -> io::Result<()> {
        let lost = self.lost.load(Ordering::Relaxed);
        if lost > 0 {
            self.send(&format!("brackup: warning: {lost} lines could not be logged"))?;
            self.lost.fetch_sub(lost, Ordering::Relaxed);
        }
        self.send(text).inspect_err(|_| {
            self.lost.fetch_add(1, Ordering::Relaxed);
        })
    }

    fn send(&self, text: &str) -> io::Result<()> {
        let now = Utc::now().to_unix();
        let line = datagram(text, &self.zone.stamp(now), std::process::id());
        self.socket.send_to(line.as_bytes(), &self.path).map(drop)
    }
}

fn datagram(text: &str, stamp: &str, pid: u32) -> String {
    let text = text.strip_prefix("brackup: ").unwrap_or(text);
    let priority = FACILITY * 8 + severity(text);
    let mut line = format!("<{priority}>{stamp} brackup[{pid}]: ");
    for c in text.chars() {
        let before = line.len();
        // A line end would begin a line that somebody else seems to have written.
        if c.is_control() {
            line.extend(c.escape_unicode());
        } else {
            line.push(c);
        }
        if line.len() > LINE_BYTES_MAX {
            line.truncate(before);
            break;
        }
    }
    line
}

fn severity(text: &str) -> u8 {
    match text.split(':').next() {
        Some("error") => 3,
        Some("warning" | "problem") => 4,
        Some("hint" | "note") => 5,
        _ => 6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_is_what_log_daemons_read() {
        let line = |text| datagram(text, "Nov  5 02:30:00", 42);
        for (text, told) in [
            ("brackup: job nightly: begins", "<30>Nov  5 02:30:00 brackup[42]: job nightly: begins"),
            ("brackup: error: no: why", "<27>Nov  5 02:30:00 brackup[42]: error: no: why"),
            ("brackup: warning: no", "<28>Nov  5 02:30:00 brackup[42]: warning: no"),
            ("brackup: problem: a", "<28>Nov  5 02:30:00 brackup[42]: problem: a"),
            ("brackup: hint: do", "<29>Nov  5 02:30:00 brackup[42]: hint: do"),
            ("a\n<3>b\u{1b}[m\u{7f}", "<30>Nov  5 02:30:00 brackup[42]: a\\u{a}<3>b\\u{1b}[m\\u{7f}"),
        ] {
            assert_eq!(line(text), told);
        }
        let long = line(&"\u{e9}".repeat(2000));
        assert_eq!(long.len(), LINE_BYTES_MAX - 1, "cut between characters");
    }

    #[test]
    fn nothing_waits_and_what_is_lost_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let syslog = Syslog::open(&path, Zone::utc()).unwrap();
        assert!(syslog.line("nobody is there").is_err());
        let daemon = UnixDatagram::bind(&path).unwrap();
        // More than the socket holds, and nobody reads.
        let sent = (0..100_000).take_while(|_| syslog.line("a line").is_ok()).count();
        assert!(sent < 100_000, "the queue has no end here");
        drop(daemon);
        std::fs::remove_file(&path).unwrap();
        let daemon = UnixDatagram::bind(&path).unwrap();
        syslog.line("brackup: after a restart").unwrap();
        daemon.set_read_timeout(Some(std::time::Duration::from_secs(60))).unwrap();
        let mut bytes = [0; 2048];
        let mut next = || {
            let length = daemon.recv(&mut bytes).unwrap();
            String::from_utf8_lossy(&bytes[..length]).split_once("]: ").unwrap().1.to_owned()
        };
        assert_eq!((next(), next()), ("warning: 1 lines could not be logged".into(), "after a restart".into()));
    }
}
