//! `brackup config check`.

use std::io::Write;

use brackup::config::{Compress, Config, DoorTls, JobOptions, Padding};
use brackup::date::Utc;
use brackup::outcome::Outcome;
use brackup::scheduler::{self, Zone};
use brackup::seal::Keyring;

use super::{mounts, open};
use crate::cli::{Beside, Global};
use crate::term::{self, Failure};

/// Reads the configuration, resolves its recipients, and shows what it means.
pub(crate) fn check(global: &Global) -> Result<Outcome, Failure> {
    let config = open::config(&Global { verbose: 0, quiet: true, ..global.clone() })?;
    let keyring = Keyring::at(&config.own.key_dir);
    let mut out = term::out();
    writeln!(out, "{}", config.file.display())?;
    let own = &config.own;
    writeln!(
        out,
        "[BOX] state_dir {}, spool_dir {}, key_dir {}",
        own.state_dir.display(),
        own.spool_dir.display(),
        own.key_dir.display()
    )?;
    for source in &config.sources {
        let mut ids = Vec::new();
        for text in &source.recipients {
            let recipient = keyring.resolve(text).map_err(|error| {
                let failure = Failure::from(error);
                let message = format!("[SOURCE:{}]: {}", source.name, failure.message);
                Failure { outcome: Outcome::Usage, message, ..failure }
            })?;
            ids.push(recipient.id().to_string());
        }
        let padding = match source.padding {
            Padding::Padme => "padme",
            Padding::Chunk => "chunk",
            Padding::None => "none",
        };
        let compress = match source.compress {
            Compress::None => "none".to_owned(),
            Compress::Zstd { level } => format!("zstd:{level}"),
        };
        let ids = if ids.is_empty() { "nobody: it can't be backed up".to_owned() } else { ids.join(", ") };
        writeln!(
            out,
            "[SOURCE:{}] {}, sealed to {ids}, chunks of {}, padding {padding}, compress {compress}",
            source.name,
            source.path.display(),
            term::bytes(source.chunk_size)
        )?;
    }
    for target in &config.targets {
        writeln!(out, "[TARGET:{}] {}", target.name, target.kind)?;
    }
    let zone = Zone::of_process();
    let now = Utc::now().to_unix();
    for job in &config.jobs {
        writeln!(
            out,
            "[JOB:{}] {} to {}, {}{}, next {}",
            job.name,
            what(job),
            job.to.join(", "),
            job.at,
            job.window.map_or_else(String::new, |window| format!(" in the window {window}")),
            zone.shown(scheduler::in_window(job, &zone, zone.next(&job.at, now)))
        )?;
    }
    for alert in &config.alerts {
        writeln!(out, "[ALERT:{}] {alert}", alert.name)?;
    }
    door(&config, &mut out)?;
    out.flush()?;
    zone.warning().filter(|_| !config.jobs.is_empty()).iter().for_each(|warning| term::warning(warning));
    mounts::warnings(own).iter().chain(&config.notes).for_each(|note| term::warning(note));
    Ok(Outcome::Done)
}

/// What a job brings to its targets.
fn what(job: &JobOptions) -> String {
    let copies = job.copy_from.iter().map(|from| format!("copy of {from}"));
    job.from.iter().cloned().chain(copies).collect::<Vec<_>>().join(", ")
}

/// The names of sources or targets, or of both, one a line.
pub(crate) fn names(asked: &Beside, global: &Global) -> Result<Outcome, Failure> {
    let config = open::config(global)?;
    let sources = config.sources.iter().map(|source| ("source", &source.name)).filter(|_| asked.list_sources);
    let targets = config.targets.iter().map(|target| ("target", &target.name)).filter(|_| asked.list_targets);
    let mut out = term::out();
    for (kind, name) in sources.chain(targets) {
        if global.json {
            writeln!(out, "{}", serde_json::json!({ kind: name }))?;
        } else {
            writeln!(out, "{name}")?;
        }
    }
    out.flush()?;
    Ok(Outcome::Done)
}

/// Who is let in, and where.
fn door(config: &Config, out: &mut impl Write) -> std::io::Result<()> {
    if let Some(serve) = &config.serve {
        let tls = match &serve.tls {
            DoorTls::Own => "with a key of its own".into(),
            DoorTls::Files { certificate, .. } => format!("with the certificate {}", certificate.display()),
            DoorTls::None => "without TLS".to_owned(),
        };
        writeln!(out, "[SERVE] listens at {}, {tls}", serve.listen)?;
    }
    for host in &config.hosts {
        let quota = host.quota.map_or_else(|| "no quota".to_owned(), |quota| format!("at most {}", term::bytes(quota)));
        writeln!(out, "[HOST:{}] {}, {quota}", host.name, host.path.display())?;
    }
    Ok(())
}
