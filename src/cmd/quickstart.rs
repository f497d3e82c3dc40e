//! `brackup quickstart DIR`: for a person with nothing set up. Nothing that is there is overwritten.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use brackup::config::{BoxOptions, Config, Surroundings};
use brackup::fsutil;
use brackup::monitor::Tally;
use brackup::outcome::Outcome;
use brackup::restore::Selection;
use brackup::seal::Identity;
use brackup::verify;

use super::open::{self, Opened};
use super::provider::NamedTarget;
use super::{backup, keys};
use crate::cli::{Global, OpenArgs, QuickstartArgs};
use crate::progress::Progress;
use crate::term::{self, Failure};

const SOURCE: &str = "home";
const TARGET: &str = "backups";

/// Keys, configuration, first backup, verification, and what to do next.
pub(crate) fn run(args: &QuickstartArgs, global: &Global, stop: &AtomicBool) -> Result<Outcome, Failure> {
    let around = Surroundings::of_process();
    let home =
        around.home.clone().ok_or_else(|| Failure::usage("quickstart needs a home directory").hint("set $HOME"))?;
    let variable = (around.env)("BRACKUP_CONF").filter(|path| !path.is_empty());
    let named = global.config.clone().or_else(|| variable.map(PathBuf::from));
    let config_file = named.clone().unwrap_or_else(|| home.join(".brackup.conf"));
    // Without a name, that of the whole machine counts too: a new one would hide it.
    let there = if named.is_none() { Config::find(None).ok() } else { None };
    if let Some(there) = there.or_else(|| config_file.exists().then(|| config_file.clone())) {
        return Err(Failure::usage(format!("{} is there already: brackup is set up", there.display()))
            .hint("`brackup config check` shows what it says; `brackup --from=SOURCE --to=TARGET` makes a backup"));
    }
    // Everything that can be wrong is looked at before anything is made.
    let source = absolute(&args.dir)?;
    if !source.is_dir() {
        let what = if source.exists() { "is no directory" } else { "is not there" };
        return Err(
            Failure::usage(format!("{} {what}", source.display())).hint("name the directory that is to be backed up")
        );
    }
    let target = args.target.clone().unwrap_or_else(|| home.join("brackup-backups"));
    let target =
        absolute(target.to_str().and_then(|text| text.strip_prefix("filesystem:")).map_or(&*target, Path::new))?;
    for (made, option) in [(&target, "--target"), (&config_file, "--config")] {
        let above = made.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
        if !above.is_dir() {
            return Err(Failure::usage(format!("the folder {} is not there", above.display()))
                .hint(format!("make it, or name another place with {option}")));
        }
    }
    let own = BoxOptions::default_for(&around)?;
    let identity = Identity::generate()?;
    let secret_file = home.join(format!("brackup-secret-{}.key", identity.recipient().id()));
    let recipient = keys::write(identity, &secret_file, None, true, &own)?;
    let text = config_text(&source, &target, &recipient.to_string());
    fsutil::create_secret(&config_file, text.as_bytes())
        .map_err(|error| Failure::new(Outcome::Failed, format!("can't write {}: {error}", config_file.display())))?;
    term::say(format_args!(
        "brackup: made a key pair, {}, and the configuration {}\nbrackup: the secret key is in {}",
        recipient.id(),
        config_file.display(),
        secret_file.display()
    ));

    let global = Global { config: Some(config_file.clone()), ..global.clone() };
    let config = Config::open(&config_file)?;
    let named = open::target(Some(TARGET), &global)?;
    let (done, _) = backup::one(config.source(SOURCE)?, &named, &config.own, false, &global, stop)?;
    let outcome = done.outcome();
    let Some(name) = done.report.backup else { return Ok(outcome) };
    let problems = check(&named, &secret_file, &name.to_string(), &global, stop)?;
    let mut out = term::out();
    write!(out, "{}", next_steps(&secret_file, &config_file, &around))?;
    out.flush()?;
    Ok(if problems > 0 { Outcome::DoneWithProblems } else { outcome })
}

/// Opens everything again with the secret key.
fn check(target: &NamedTarget, key: &Path, backup: &str, global: &Global, stop: &AtomicBool) -> Result<u64, Failure> {
    let open = OpenArgs { from: vec![target.name.clone()], key: vec![key.into()], accept_unsigned: false };
    let opened = Opened::new(&open, global)?;
    let backup = opened.backup(backup, None)?;
    let progress = Progress::new(global);
    let tally = Tally::new(&progress);
    let checked = progress.with_totals(&backup, &opened.identities, &Selection::default(), || {
        verify::contents(&*opened.target.target, &backup, &opened.identities, &tally, stop)
    });
    progress.finish();
    checked?;
    let counts = tally.sums();
    if !global.quiet {
        let files = term::plural(counts.of(brackup::monitor::Counter::Files), "file", "files");
        writeln!(
            std::io::stdout(),
            "verified: {files} opened and compared: {}",
            term::plural(counts.problems, "problem", "problems")
        )?;
    }
    Ok(counts.problems)
}

fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    let absolute = std::path::absolute(path).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
    // A name with a line end can't stand in the configuration.
    match absolute.to_str() {
        Some(text) if !text.contains(['\n', '\r']) && text.trim() == text && !text.contains(" #") => Ok(absolute),
        _ => Err(Failure::usage(format!("{:?} can't be written in a configuration file", absolute))),
    }
}

fn config_text(source: &Path, target: &Path, recipient: &str) -> String {
    format!(
        "# brackup configuration, made by `brackup quickstart`. All keys: docs/CONFIG.md\n\
         \n\
         # Where backups go. Best on another disk than what is backed up.\n\
         [TARGET:{TARGET}]\n\
         type = Filesystem\n\
         path = {}\n\
         \n\
         # What is backed up, sealed to a public key. Only the secret key opens it.\n\
         [SOURCE:{SOURCE}]\n\
         path = {}\n\
         recipient = {recipient}\n\
         chunk_size = 64MB\n\
         # Regular expressions on the path below the root, a directory as dir/\n\
         # ignore = ^\\.cache/\n",
        target.display(),
        source.display()
    )
}

/// For a shell.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@%:,".contains(c);
    if text.chars().all(is_plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

fn next_steps(secret: &Path, config: &Path, around: &Surroundings) -> String {
    let is_default = around.home.as_ref().is_some_and(|home| config == home.join(".brackup.conf"));
    let option = if is_default { String::new() } else { format!(" --config {}", quoted(config)) };
    format!(
        "\nmove {} off this machine now (a USB stick, a print-out) and keep two copies:\n\
         whoever has it can read the backups, and without it nobody can.\n\
         \n\
         next:\n\
         # every night, from cron\n\
         \x20 brackup --from={SOURCE} --to={TARGET}{option}\n\
         # now and then, without any key\n\
         \x20 brackup verify {TARGET}{option}\n\
         # to get everything back\n\
         \x20 brackup restore {SOURCE}:latest --from {TARGET} --to /tmp/restored --key {}{option}\n",
        secret.display(),
        quoted(secret)
    )
}
