//! From what the configuration says of a target to the target: the one place that knows which types there are in this build.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use brackup::config::{BoxOptions, TargetKind, TargetOptions};
use brackup::date::Utc;
use brackup::provider::Bandwidth;
use brackup::scheduler::Zone;
use brackup::target::{Filesystem, Sftp, Target, Way};

use crate::term::Failure;

/// A target, and the name by which this box remembers it.
pub(crate) struct NamedTarget {
    pub(crate) name: String,
    pub(crate) target: Box<dyn Target>,
    /// Where it is on this machine, if it is.
    pub(crate) folder: Option<PathBuf>,
}

impl NamedTarget {
    /// By name and place: a target that moved, or another one of the same name, is not taken for the one that was.
    pub(crate) fn remembered_as(&self) -> String {
        format!("{} {}", self.name, self.target.describe())
    }
}

/// Folders of this box that a target may need.
pub(crate) struct Folders {
    /// Where objects wait.
    pub(crate) spool_dir: PathBuf,
    /// Where logins are.
    #[cfg_attr(not(feature = "gdrive"), allow(dead_code, reason = "no other target keeps one"))]
    pub(crate) key_dir: PathBuf,
}

impl From<&BoxOptions> for Folders {
    fn from(own: &BoxOptions) -> Self {
        Self { spool_dir: own.spool_dir.clone(), key_dir: own.key_dir.clone() }
    }
}

/// The target of these options. `folders` are asked for by one that needs them. Where it waits for a server, it stops waiting when
/// it is told to. What a job says of how fast it may be used holds besides what the target says.
pub(crate) fn open(
    options: TargetOptions,
    of_job: Option<&Bandwidth>,
    folders: impl FnOnce() -> Folders,
    stop: &Arc<AtomicBool>,
) -> Result<NamedTarget, Failure> {
    let way = way(options.bandwidth.into_iter().chain(of_job.cloned()).collect(), stop);
    let (target, folder): (Box<dyn Target>, _) = match options.kind {
        TargetKind::Filesystem { path } => (Box::new(Filesystem::at(&path)), Some(path)),
        #[cfg(feature = "s3")]
        TargetKind::S3(settings) => {
            let access_key = settings.find_access_key(&brackup::config::Surroundings::of_process())?;
            let bucket = settings.bucket;
            (Box::new(brackup::target::S3::open(bucket, access_key, folders().spool_dir, way)?), None)
        }
        TargetKind::Sftp(folder) => (Box::new(Sftp::open(*folder, folders().spool_dir, way)?), None),
        #[cfg(feature = "webdav")]
        TargetKind::WebDav(settings) => {
            let login = settings.find_login(&brackup::config::Surroundings::of_process())?;
            let collection = settings.collection;
            (Box::new(brackup::target::WebDav::open(collection, login, folders().spool_dir, way)?), None)
        }
        #[cfg(feature = "gdrive")]
        TargetKind::GoogleDrive(settings) => {
            let client = settings.find_client(&brackup::config::Surroundings::of_process())?;
            let Folders { spool_dir, key_dir } = folders();
            let login = brackup::target::GrantFile::of(&key_dir, &options.name);
            (Box::new(brackup::target::GoogleDrive::open(settings.folder, client, login, spool_dir, way)?), None)
        }
        #[cfg(feature = "brackup")]
        TargetKind::Brackup(settings) => {
            let token = settings.find_token(&brackup::config::Surroundings::of_process())?;
            (Box::new(brackup::target::Brackup::open(settings.server, token, folders().spool_dir, way)?), None)
        }
        // `Config::target` and `target_from_url` hand out none of them.
        #[cfg(not(all(feature = "s3", feature = "webdav", feature = "gdrive", feature = "brackup")))]
        kind => {
            let _ = (folders, way, kind);
            return Err(Failure::usage("this program can't store to targets of this type"));
        }
    };
    Ok(NamedTarget { name: options.name, target, folder })
}

/// Logs in at the target of these options, if it is one that keeps a login: `show` is told what somebody must enter where.
#[cfg(feature = "gdrive")]
pub(crate) fn log_in(
    options: TargetOptions,
    own: &BoxOptions,
    stop: &Arc<AtomicBool>,
    show: &mut dyn FnMut(&brackup::target::DeviceCode),
) -> Result<PathBuf, Failure> {
    let TargetKind::GoogleDrive(settings) = options.kind else { return Err(no_login(&options.name)) };
    let client = settings.find_client(&brackup::config::Surroundings::of_process())?;
    let login = brackup::target::GrantFile::of(&own.key_dir, &options.name);
    brackup::target::log_in(&settings.folder, client, &login, way(Vec::new(), stop), show)?;
    Ok(login.path().to_owned())
}

/// Of a target whose login, if any, stands in the configuration.
pub(crate) fn no_login(name: &str) -> Failure {
    Failure::usage(format!("nobody logs in at the target {name}: it is not of type GoogleDrive"))
        .hint("what other types need stands in the configuration: docs/CONFIG.md")
}

/// As fast as the time of day allows, by the clock on the wall.
fn way(limits: Vec<Bandwidth>, stop: &Arc<AtomicBool>) -> Way {
    let way = Way::until(stop.clone());
    if limits.is_empty() {
        return way;
    }
    let zone = Zone::of_process();
    way.at_most(move || {
        let now = Utc::now().to_unix();
        Bandwidth::least(&limits, zone.minute_of_day(now))
    })
}
