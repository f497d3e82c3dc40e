//! What is asked on the terminal: passphrases, and with `--interactive` whether something may go.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use brackup::outcome::Outcome;
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::termios::LocalFlags;
use zeroize::Zeroizing;

use crate::term::Failure;

/// To be asked before anything is done: whether anybody can answer.
pub(crate) fn needs_terminal() -> Result<(), Failure> {
    let terminal = std::fs::OpenOptions::new().read(true).write(true).open("/dev/tty");
    terminal.map(drop).map_err(|_| {
        Failure::usage("--interactive asks on the terminal, and there is none")
            .hint("-n says what would go; without either it goes unasked")
    })
}

/// Asks. Only `y` and `yes` are a yes; Ctrl-C ends all, and so does a signal.
pub(crate) fn confirm(question: &str, stop: &AtomicBool) -> Result<bool, Failure> {
    let stopped = || Failure::new(Outcome::Interrupted, "no answer: nothing was removed");
    let prompt = format!("{question} [y/N] ");
    let answer = ask_showing(LocalFlags::ECHO, &prompt, &|| stop.load(Ordering::Relaxed)).ok_or_else(stopped)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

/// A passphrase from `$BRACKUP_PASSPHRASE`, or asked on the terminal without showing it.
pub(crate) fn passphrase(file: &Path) -> Option<Zeroizing<String>> {
    if let Ok(word) = std::env::var("BRACKUP_PASSPHRASE") {
        return Some(Zeroizing::new(word));
    }
    ask(&format!("passphrase of {}: ", file.display()))
}

/// Asks on the terminal, without showing what is typed; nothing where there is none, or if Ctrl-C was pressed.
pub(crate) fn ask(prompt: &str) -> Option<Zeroizing<String>> {
    ask_showing(LocalFlags::empty(), prompt, &|| false)
}

/// Waits until somebody has answered. A signal that is caught ends it: whoever sent it does not wait for an answer.
fn waits_for_line(terminal: &File, is_stopped: &dyn Fn() -> bool) -> bool {
    // Now and then, for a signal that came just before.
    const OFTEN_MS: u16 = 500;
    loop {
        let mut terminals = [PollFd::new(terminal.as_fd(), PollFlags::POLLIN)];
        match poll(&mut terminals, OFTEN_MS) {
            _ if is_stopped() => return false,
            Ok(0) => {}
            polled => return polled.is_ok(),
        }
    }
}

fn ask_showing(shown: LocalFlags, prompt: &str, is_stopped: &dyn Fn() -> bool) -> Option<Zeroizing<String>> {
    use nix::sys::termios::{SetArg, SpecialCharacterIndices, tcgetattr, tcsetattr};
    use std::io::{Read as _, Write as _};
    const CTRL_C: u8 = 3;
    let mut terminal = std::fs::OpenOptions::new().read(true).write(true).open("/dev/tty").ok()?;
    let before = tcgetattr(&terminal).ok()?;
    let mut silent = before.clone();
    // Ctrl-C comes as a byte that ends the line: as a signal it would leave the terminal silent.
    silent.local_flags.remove((LocalFlags::ECHO | LocalFlags::ISIG) - shown);
    silent.control_chars[SpecialCharacterIndices::VEOL as usize] = CTRL_C;
    tcsetattr(&terminal, SetArg::TCSAFLUSH, &silent).ok()?;
    let _ = terminal.write_all(prompt.as_bytes());
    // A line comes as a whole; one that does not fit is no passphrase.
    let mut line = Zeroizing::new([0; 1024]);
    let read = if waits_for_line(&terminal, is_stopped) { terminal.read(&mut line[..]) } else { Ok(0) };
    let _ = tcsetattr(&terminal, SetArg::TCSAFLUSH, &before);
    if shown.is_empty() {
        let _ = terminal.write_all(b"\n");
    }
    let line = &line[..read.ok()?];
    if line.contains(&CTRL_C) || !line.ends_with(b"\n") {
        return None;
    }
    let word = std::str::from_utf8(line).ok()?;
    Some(Zeroizing::new(word.trim_end_matches(['\n', '\r']).to_owned()))
}
