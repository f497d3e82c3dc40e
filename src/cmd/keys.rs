//! `brackup keygen`, `brackup key show`.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use brackup::config::{BoxOptions, Config};
use brackup::date::Utc;
use brackup::outcome::Outcome;
use brackup::seal::{Identity, Keyring, Recipient, SecretFile};
use zeroize::Zeroizing;

use super::{ask, open};
use crate::cli::{Global, KeygenArgs};
use crate::term::{self, Failure};

/// Makes a key pair: the secret key to a file, the public one to stdout and into the key folder.
pub(crate) fn generate(args: &KeygenArgs, global: &Global) -> Result<Outcome, Failure> {
    let own = open::own(global)?;
    let passphrase = if args.passphrase { Some(new_passphrase()?) } else { None };
    let identity = Identity::generate()?;
    let path = args.out.clone().unwrap_or_else(|| format!("brackup-secret-{}.key", identity.recipient().id()).into());
    // Only a machine that makes backups is a box to be trusted: a key made elsewhere trusts nobody yet.
    let is_box = Config::find(global.config.as_deref()).is_ok() || own.key_dir.join("box.key").exists();
    let recipient = write(identity, &path, passphrase.as_ref().map(|word| word.as_str()), is_box, &own)?;
    let mut out = term::out();
    if global.json {
        let value = serde_json::json!({
            "command": "keygen", "public_key": recipient.to_string(), "key_id": recipient.id().to_string(), "secret_key_file": path,
        });
        writeln!(out, "{value}")?;
    } else {
        writeln!(out, "public key: {recipient}\nkey id: {}", recipient.id())?;
    }
    out.flush()?;
    if !global.quiet {
        term::say(format_args!(
            "brackup: the secret key is in {}; move it off this machine and keep a second copy: without it no backup can be read",
            path.display()
        ));
    }
    Ok(Outcome::Done)
}

/// Writes a new secret key and adds its public half to the key folder. The key file trusts this machine if it is a box.
pub(crate) fn write(
    identity: Identity,
    path: &Path,
    passphrase: Option<&str>,
    is_box: bool,
    own: &BoxOptions,
) -> Result<Recipient, Failure> {
    let keyring = Keyring::at(&own.key_dir);
    let recipient = identity.recipient().clone();
    let boxes = if is_box { vec![keyring.box_key()?.public()] } else { Vec::new() };
    let secret = SecretFile { identity, boxes };
    secret.create(path, &Utc::now().to_string(), passphrase)?;
    keyring.add(&recipient)?;
    Ok(recipient)
}

/// Shows what belongs to a secret key.
pub(crate) fn show(file: &PathBuf, global: &Global) -> Result<Outcome, Failure> {
    let secrets = open::keys(std::slice::from_ref(file))?;
    let mut out = term::out();
    for secret in &secrets {
        let recipient = secret.identity.recipient();
        let boxes: Vec<_> = secret.boxes.iter().map(ToString::to_string).collect();
        if global.json {
            let value = serde_json::json!({
                "command": "key show", "public_key": recipient.to_string(), "key_id": recipient.id().to_string(), "boxes": boxes,
            });
            writeln!(out, "{value}")?;
            continue;
        }
        writeln!(out, "public key: {recipient}\nkey id: {}", recipient.id())?;
        for signer in boxes {
            writeln!(out, "trusted box: {signer}")?;
        }
    }
    out.flush()?;
    Ok(Outcome::Done)
}

fn new_passphrase() -> Result<Zeroizing<String>, Failure> {
    if let Ok(word) = std::env::var("BRACKUP_PASSPHRASE") {
        if word.is_empty() {
            return Err(Failure::usage("$BRACKUP_PASSPHRASE is empty").hint("an empty passphrase locks nothing"));
        }
        return Ok(Zeroizing::new(word));
    }
    let no_terminal = || {
        Failure::usage("a passphrase is wanted and there is no terminal to ask for it").hint("set $BRACKUP_PASSPHRASE")
    };
    let word = ask::ask("new passphrase: ").ok_or_else(no_terminal)?;
    let again = ask::ask("the same again: ").ok_or_else(no_terminal)?;
    if word.is_empty() || word != again {
        return Err(Failure::usage("the two passphrases are not the same, or empty"));
    }
    Ok(word)
}
