//! `brackup host add`: what both sides need so that another host may store here. Nothing is written: who has the configuration decides what is in it.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use brackup::config::{Config, DoorTls, ServeOptions};
use brackup::digest::hex;
use brackup::fsutil::Space;
use brackup::outcome::Outcome;
use brackup::provider::{Pin, Token};

use super::open;
use super::values::{self, Bytes};
use crate::cli::Global;
use crate::term::{self, Failure};

/// A port for who has not chosen one.
const PORT: u16 = 8713;

/// Prints both sections.
pub(crate) fn add(
    name: &str,
    path: Option<PathBuf>,
    quota: Option<String>,
    global: &Global,
) -> Result<Outcome, Failure> {
    values::read::<Bytes>("--quota", quota.as_deref())?;
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
    let tls = config.serve.as_ref().map_or(&DoorTls::Own, |serve| &serve.tls);
    let pin = config.serve.as_ref().filter(|_| *tls == DoorTls::Own).and_then(|serve| pin(serve, &config.own.key_dir));
    let is_chosen = quota.is_some();
    let quota = quota.or_else(|| half_of_what_is_free(&path));
    let bound = quota.as_ref().map(|quota| format!("quota = {quota}\n")).unwrap_or_default();
    let here = format!("[HOST:{name}]\npath = {}\ntoken_sha256 = {digest}\n{bound}", path.display());
    // What is pasted here must be read there.
    Config::parse(&config.file, here.as_bytes())?;
    let mut out = term::out();
    if global.json {
        let pin = pin.map(|pin| pin.to_string());
        let value = serde_json::json!({
            "command": "host add", "host": name, "path": path, "token_sha256": digest, "quota": quota,
            "url": url, "token": token.as_str(), "tls_pin": pin,
        });
        writeln!(out, "{value}")?;
    } else {
        let bound = match quota {
            Some(_) if is_chosen => "",
            Some(_) => "; the quota is half of what is free there now",
            None => "; its disk is not there: `quota = 500GB` would be a bound",
        };
        writeln!(out, "# for the configuration of this box{bound}\n{here}")?;
        writeln!(out, "# for that of {name}, which its owner alone should be able to read")?;
        writeln!(out, "[TARGET:nas]\ntype = Brackup")?;
        if url.contains(".local:") {
            writeln!(out, "# a name with .local may not be known there: then an address of this box is to be here")?;
        }
        writeln!(out, "url = {url}\ntoken = {}", token.as_str())?;
        match (tls, pin) {
            (DoorTls::Own, Some(pin)) => writeln!(out, "tls_pin = {pin}")?,
            (DoorTls::Own, None) => writeln!(out, "# tls_pin = what `brackup serve` says at its start here")?,
            // Its key may be another after each renewal, which would keep all out who know it by this one.
            (DoorTls::Files { .. }, _) => {
                writeln!(
                    out,
                    "# no tls_pin: who signed the certificate counts (`tls_ca`, if the system does not know him);"
                )?;
                writeln!(out, "# the host in the url is to be one that the certificate names")?;
            }
            (DoorTls::None, _) => {}
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

/// In words of the configuration, two digits of it; nothing if the disk is not there.
fn half_of_what_is_free(path: &Path) -> Option<String> {
    let there = [Some(path), path.parent()].into_iter().flatten().find(|there| there.is_dir())?;
    Some(rounded(Space::at(there).ok()?.free / 2))
}

fn rounded(bytes: u64) -> String {
    let (count, unit) = if bytes < 1 << 30 { (bytes >> 20, "MB") } else { (bytes >> 30, "GB") };
    let step = 10_u64.pow(count.max(1).ilog10().saturating_sub(1));
    format!("{}{unit}", (count / step * step).max(1))
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
            let scheme = if serve.tls == DoorTls::None { "http" } else { "https" };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_easy_to_read() {
        for (bytes, quota) in [
            (0, "1MB"),
            (5 << 20, "5MB"),
            (1023 << 20, "1000MB"),
            (1 << 30, "1GB"),
            ((437 << 30) + 5, "430GB"),
            (9999 << 30, "9900GB"),
        ] {
            assert_eq!(rounded(bytes), quota);
        }
    }
}
