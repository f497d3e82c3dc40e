//! `brackup serve --set-password` and `--new-token`: what opens the page to its owner, and to programs of his.

use std::io::{BufRead as _, IsTerminal as _, Write as _, stdin};

use brackup::digest::hex;
use brackup::fsutil;
use brackup::outcome::Outcome;
use brackup::provider::Token;
use brackup::seal::Password;
use zeroize::Zeroizing;

use super::{ask, open};
use crate::cli::Global;
use crate::term::{self, Failure};

/// Asks for a password twice, or reads one line where there is no terminal to ask.
pub(crate) fn set(global: &Global) -> Result<Outcome, Failure> {
    let own = open::own(global)?;
    let word = if stdin().is_terminal() { asked()? } else { read()? };
    if Password::is_weak(&word) {
        return Err(
            Failure::usage("that is too short for a password").hint("8 letters at least; four words are better")
        );
    }
    let random = || Failure::new(Outcome::Failed, "no random numbers for a password");
    let password = Password::of(&word).ok_or_else(random)?;
    let kept = fsutil::create_private_directory(&own.key_dir).and_then(|()| password.write(&own.key_dir));
    let path = Password::path(&own.key_dir);
    kept.map_err(|error| Failure::new(Outcome::Failed, format!("can't keep it in {}: {error}", path.display())))?;
    if !global.quiet {
        term::note("the page has this password when the service is started again, or gets SIGHUP");
    }
    Ok(Outcome::Done)
}

/// Prints a token, and the line that lets it in.
pub(crate) fn new_token() -> Result<Outcome, Failure> {
    let token = Token::generate().ok_or_else(|| Failure::new(Outcome::Failed, "no random numbers for a token"))?;
    let mut out = term::out();
    writeln!(out, "# for [SERVE] in the configuration of this box\ntoken_sha256 = {}\n", hex(&token.sha256()))?;
    writeln!(
        out,
        "# for the program that asks, which alone should be able to read it\nAuthorization: Bearer {}",
        token.as_str()
    )?;
    out.flush()?;
    Ok(Outcome::Done)
}

fn asked() -> Result<Zeroizing<String>, Failure> {
    let ask = |prompt| {
        ask::ask(prompt).ok_or_else(|| Failure::new(Outcome::Interrupted, "no password was given: nothing is changed"))
    };
    let word = ask("password of the page: ")?;
    if *ask("the same again: ")? != *word {
        return Err(Failure::usage("the two are not the same: nothing is changed"));
    }
    Ok(word)
}

fn read() -> Result<Zeroizing<String>, Failure> {
    let mut line = Zeroizing::new(String::new());
    stdin().lock().read_line(&mut line)?;
    Ok(Zeroizing::new(line.trim_end_matches(['\n', '\r']).to_owned()))
}
