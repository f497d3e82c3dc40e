//! The configuration: an INI file of the original Brackup or of ours, read into values that need no more checking.
//!
//! docs/CONFIG.md is what it says to people. The first wrong line of a file is the one that is reported, whichever
//! pass found it. Nothing is defaulted silently: what is not known is an error, what does nothing is a note.
//! Not done here: whether a folder exists, whose key a recipient is, opening a target.

mod alert;
mod another_box;
mod bandwidth;
mod error;
mod file;
mod findings;
mod gdrive;
mod host;
mod inherit;
mod ini;
mod job;
mod limits;
mod mail;
mod nearest;
mod own;
mod page;
mod pattern;
mod policy;
mod rules;
mod s3;
mod schedule;
mod secret;
mod serve;
mod sftp;
mod size;
mod source;
mod surroundings;
mod target;
#[cfg(test)]
mod tests;
mod time_of_day;
mod trust;
mod upkeep;
mod values;
mod web_hook;
mod webdav;
mod window;

use std::path::{Path, PathBuf};

use self::error::{listed, quoted};
use self::findings::Findings;
use self::ini::Kind;
use self::nearest::did_you_mean;
use self::values::Values;

pub use self::alert::{AlertKind, AlertOptions, AlertType};
pub use self::another_box::BrackupSettings;
pub use self::error::{Error, ErrorKind};
pub use self::gdrive::GoogleDriveSettings;
pub use self::host::HostOptions;
pub use self::job::JobOptions;
pub use self::mail::{MailSecurity, MailSettings};
pub use self::own::{BoxOptions, Cipher};
pub use self::page::PageOptions;
pub use self::rules::IgnoreRules;
pub use self::s3::S3Settings;
pub use self::schedule::Schedule;
pub use self::serve::{DoorTls, PAGE_LISTEN, ServeOptions};
pub use self::size::parse_size;
pub use self::source::{Compress, Padding, SourceOptions};
pub use self::surroundings::Surroundings;
pub use self::target::{TargetKind, TargetOptions, target_from_url};
pub use self::time_of_day::TimeOfDay;
pub use self::upkeep::{Every, Upkeep};
pub use self::web_hook::HookSettings;
pub use self::webdav::WebDavSettings;
pub use self::window::Window;

/// One configuration file, read and checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file it was read from.
    pub file: PathBuf,
    /// What holds for this machine.
    pub own: BoxOptions,
    /// In the order of the file, without those that only lend their values.
    pub sources: Vec<SourceOptions>,
    /// Likewise, with those that a later version will know.
    pub targets: Vec<TargetOptions>,
    /// In the order of the file. Every source and target that they name is one of the above and can be used.
    pub jobs: Vec<JobOptions>,
    /// Who is told how jobs end, in the order of the file.
    pub alerts: Vec<AlertOptions>,
    /// Where other hosts are let in, if anywhere.
    pub serve: Option<ServeOptions>,
    /// The page for the owner; nothing: there is none.
    pub page: Option<PageOptions>,
    /// Those hosts, in the order of the file.
    pub hosts: Vec<HostOptions>,
    /// What is accepted and does nothing, one line each: `~/.brackup.conf:12: …`.
    pub notes: Vec<String>,
    /// Those of them that are about what somebody may count on, and comes in a later version.
    pub promises: Vec<String>,
    /// The file as people are shown it.
    shown: String,
}

impl Config {
    /// The file to open: the flag's, else `$BRACKUP_CONF`, `~/.brackup.conf`, `/etc/brackup/brackup.conf`.
    pub fn find(flag: Option<&Path>) -> Result<PathBuf, Error> {
        file::find(flag, &Surroundings::of_process())
    }

    /// Reads a file. At most 1 MiB.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let around = Surroundings::of_process();
        Self::parse_in(path, &file::read(path, &around)?, &around)
    }

    /// The contents of a file that errors and notes call `path`.
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self, Error> {
        Self::parse_in(path, bytes, &Surroundings::of_process())
    }

    /// The same in surroundings of the caller's.
    pub fn parse_in(path: &Path, bytes: &[u8], around: &Surroundings) -> Result<Self, Error> {
        let shown = around.shorten(path);
        let mut findings = Findings::new(shown.clone());
        let found = &mut findings;
        let sections = ini::read(bytes, found);
        let own = BoxOptions::read(&sections, around, found);
        let mut sources = Vec::new();
        let mut targets = Vec::new();
        // Sections that are wrong themselves: whoever names one is not told that it is not there.
        let mut wrong = Vec::new();
        for (index, section) in sections.iter().enumerate() {
            if !matches!(section.kind, Kind::Source | Kind::Target) {
                continue;
            }
            let is_parent = inherit::is_parent(&sections, index);
            let values = inherit::resolve(&sections, index, found);
            let before = sources.len() + targets.len();
            if section.kind == Kind::Source {
                sources.extend(SourceOptions::read(&values, is_parent, around, found));
            } else {
                targets.extend(TargetOptions::read(&values, is_parent, around, found));
            }
            if !is_parent && before == sources.len() + targets.len() {
                wrong.push((section.kind, section.name));
            }
        }
        let mut jobs = Vec::new();
        for section in sections.iter().filter(|section| section.kind == Kind::Job) {
            let source = |name: &str| match find_source(&sources, name) {
                Err(_) if wrong.contains(&(Kind::Source, name)) => Ok(()),
                found => found?.check_usable(),
            };
            let target = |name: &str| match find_target(&targets, name, true) {
                Err(_) if wrong.contains(&(Kind::Target, name)) => Ok(()),
                found => found?.check_usable(),
            };
            jobs.extend(JobOptions::read(&Values::of(section), around, source, target, found));
        }
        for job in &jobs {
            job.check_rules(&sources, &targets, found);
            job.check_deletes(&targets, found);
            job.check_bandwidth(&targets, found);
            job.check_places(&targets, found);
        }
        let alerts = AlertOptions::read_all(&sections, &jobs, around, found);
        if let (Some(section), true) = (sections.iter().find(|section| section.kind == Kind::Alert), jobs.is_empty()) {
            found.note(section.line, "there is no [JOB:name], and alerts tell of jobs alone");
        }
        let serve = ServeOptions::read(&sections, around, found);
        let page = PageOptions::read(&sections, found);
        let hosts = HostOptions::read_all(&sections, around, found);
        if let (Some(host), None) = (hosts.first(), &serve) {
            let name = &host.name;
            found.promise(host.line, &format!("[HOST:{name}] is let in nowhere: [SERVE] has no listen"));
        }
        let promises = findings.promises();
        let notes = findings.finish()?;
        Ok(Self {
            file: path.to_owned(),
            own: own?,
            sources,
            targets,
            jobs,
            alerts,
            serve,
            page,
            hosts,
            notes,
            promises,
            shown,
        })
    }

    /// The source of that name, if somebody could restore it.
    pub fn source(&self, name: &str) -> Result<&SourceOptions, Error> {
        let found = find_source(&self.sources, name).map_err(|error| error.at(&self.shown, 0))?;
        found.check_usable().map_err(|error| error.at(&self.shown, found.line))?;
        Ok(found)
    }

    /// The target of that name, if this version can store to it.
    pub fn target(&self, name: &str) -> Result<&TargetOptions, Error> {
        let found = find_target(&self.targets, name, false).map_err(|error| error.at(&self.shown, 0))?;
        found.check_usable().map_err(|error| error.at(&self.shown, found.line))?;
        Ok(found)
    }
}

fn find_source<'s>(sources: &'s [SourceOptions], name: &str) -> Result<&'s SourceOptions, Error> {
    sources.iter().find(|source| source.name == name).ok_or_else(|| {
        let names: Vec<&str> = sources.iter().map(|source| &*source.name).collect();
        let add = ini::is_name(name).then(|| format!("add a section [SOURCE:{name}]"));
        no_such(ErrorKind::NoSuchSource, "source", name, &names, add)
    })
}

fn find_target<'t>(targets: &'t [TargetOptions], name: &str, is_in_job: bool) -> Result<&'t TargetOptions, Error> {
    targets.iter().find(|target| target.name == name).ok_or_else(|| {
        let names: Vec<&str> = targets.iter().map(|target| &*target.name).collect();
        let add = match (ini::is_name(name), is_in_job) {
            (true, true) => format!("add a section [TARGET:{name}]"),
            (true, false) => format!("add a section [TARGET:{name}], or give a folder as filesystem:/path"),
            (false, true) => "a folder needs a section [TARGET:name] of its own".into(),
            (false, false) => "a folder is given as filesystem:/path".into(),
        };
        no_such(ErrorKind::NoSuchTarget, "target", name, &names, Some(add))
    })
}

fn no_such(kind: ErrorKind, word: &str, name: &str, names: &[&str], add: Option<String>) -> Error {
    let error = Error::new(kind, format!("there is no {word} {}", quoted(name.as_bytes())))
        .with_hint(did_you_mean(name, names.iter().copied()).or(add));
    if names.is_empty() { error } else { error.expected(listed(names, "or")) }
}
