//! Passphrases: from the environment, or asked on the terminal.

use std::path::Path;

use zeroize::Zeroizing;

/// A passphrase from `$BRACKUP_PASSPHRASE`, or asked on the terminal without showing it.
pub(crate) fn of(file: &Path) -> Option<Zeroizing<String>> {
    if let Ok(word) = std::env::var("BRACKUP_PASSPHRASE") {
        return Some(Zeroizing::new(word));
    }
    ask(&format!("passphrase of {}: ", file.display()))
}

/// Asks on the terminal; nothing where there is none, or if Ctrl-C was pressed.
pub(crate) fn ask(prompt: &str) -> Option<Zeroizing<String>> {
    use nix::sys::termios::{LocalFlags, SetArg, SpecialCharacterIndices, tcgetattr, tcsetattr};
    use std::io::{Read as _, Write as _};
    const CTRL_C: u8 = 3;
    let mut terminal = std::fs::OpenOptions::new().read(true).write(true).open("/dev/tty").ok()?;
    let before = tcgetattr(&terminal).ok()?;
    let mut silent = before.clone();
    // Ctrl-C comes as a byte that ends the line: as a signal it would leave the terminal silent.
    silent.local_flags.remove(LocalFlags::ECHO | LocalFlags::ISIG);
    silent.control_chars[SpecialCharacterIndices::VEOL as usize] = CTRL_C;
    tcsetattr(&terminal, SetArg::TCSAFLUSH, &silent).ok()?;
    let _ = terminal.write_all(prompt.as_bytes());
    // A line comes as a whole; one that does not fit is no passphrase.
    let mut line = Zeroizing::new([0; 1024]);
    let read = terminal.read(&mut line[..]);
    let _ = tcsetattr(&terminal, SetArg::TCSAFLUSH, &before);
    let _ = terminal.write_all(b"\n");
    let line = &line[..read.ok()?];
    if line.contains(&CTRL_C) || !line.ends_with(b"\n") {
        return None;
    }
    let word = std::str::from_utf8(line).ok()?;
    Some(Zeroizing::new(word.trim_end_matches(['\n', '\r']).to_owned()))
}
