//! `brackup host add`: what both sides need so that another host may store here. Nothing is written: who has the configuration decides what is in it.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use brackup::config::{Config, ServeOptions};
use brackup::digest::hex;
use brackup::outcome::Outcome;
use brackup::provider::{Pin, Token};

use super::open;
use crate::cli::Global;
use crate::term::{self, Failure};

/// A port for who has not chosen one.
const PORT: u16 = 8713;

/// Prints both sections.
pub(crate) fn add(name: &str, path: Option<PathBuf>, global: &Global) -> Result<Outcome, Failure> {
    let config = open::config(global)?;
    if config.hosts.iter().any(|host| host.name == name) {
        return Err(Failure::usage(format!("there is a [HOST:{name}] already")).hint(
            "take another name; or for a new token put the new token_sha256 there by hand, from under another name",
        ));
    }
    let path = match path {
        Some(path) => std::path::absolute(path)?,
        None => beside(&config, name)?,
    };
    let token = Token::generate().ok_or_else(|| Failure::new(Outcome::Failed, "no random numbers for a token"))?;
    let (digest, url) = (hex(&token.sha256()), url(config.serve.as_ref()));
    let pin = config.serve.as_ref().and_then(|serve| pin(serve, &config.own.key_dir));
    let here = format!("[HOST:{name}]\npath = {}\ntoken_sha256 = {digest}\n", path.display());
    // What is pasted here must be read there.
    Config::parse(&config.file, here.as_bytes())?;
    let mut out = term::out();
    if global.json {
        let pin = pin.map(|pin| pin.to_string());
        let value = serde_json::json!({
            "command": "host add", "host": name, "path": path, "token_sha256": digest,
            "url": url, "token": token.as_str(), "tls_pin": pin,
        });
        writeln!(out, "{value}")?;
    } else {
        writeln!(out, "# for the configuration of this box; `quota = 500GB` would be a bound\n{here}")?;
        writeln!(out, "# for that of {name}, which its owner alone should be able to read")?;
        writeln!(out, "[TARGET:nas]\ntype = Brackup\nurl = {url}\ntoken = {}", token.as_str())?;
        match pin {
            Some(pin) => writeln!(out, "tls_pin = {pin}")?,
            None if url.starts_with("https") => {
                writeln!(out, "# tls_pin = what `brackup serve` says at its start here")?;
            }
            None => {}
        }
    }
    out.flush()?;
    if config.serve.is_none() && !global.quiet {
        term::say(format_args!(
            "brackup: nobody is let in yet: the configuration needs `listen = ADDRESS:{PORT}` in a section [SERVE]"
        ));
    }
    Ok(Outcome::Done)
}

/// Where the folders of others are.
fn beside(config: &Config, name: &str) -> Result<PathBuf, Failure> {
    let above = config.hosts.first().and_then(|host| host.path.parent());
    above.map(|above| above.join(name)).ok_or_else(|| {
        Failure::usage(format!("where are the objects of {name} to be?"))
            .hint(format!("on the data disk: --path /a/folder/{name}; the folder above it must be there"))
    })
}

/// Where others are likely to find this box: what it listens at, or by its name where that is everything it has.
fn url(serve: Option<&ServeOptions>) -> String {
    let name = nix::unistd::gethostname().unwrap_or_default();
    let name = name.to_str().filter(|name| !name.is_empty()).unwrap_or("nas");
    let name = if name.contains('.') { name.to_owned() } else { format!("{name}.local") };
    match serve {
        None => format!("https://{name}:{PORT}/"),
        Some(serve) => {
            let scheme = if serve.tls == brackup::config::DoorTls::None { "http" } else { "https" };
            match serve.listen.ip().is_unspecified() {
                true => format!("{scheme}://{name}:{}/", serve.listen.port()),
                false => format!("{scheme}://{}/", serve.listen),
            }
        }
    }
}

#[cfg(feature = "web")]
fn pin(serve: &ServeOptions, key_dir: &Path) -> Option<Pin> {
    brackup::web::pin(serve, key_dir)
}

#[cfg(not(feature = "web"))]
fn pin(_: &ServeOptions, _: &Path) -> Option<Pin> {
    None
}
