//! From what the configuration says of a target to the target: the one place that knows which types there are in this build.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::SystemTime;

use brackup::config::{TargetKind, TargetOptions};
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

/// The target of these options. `spool_dir` is asked of one whose objects wait there. Where it waits for a server, it stops waiting when
/// it is told to.
pub(crate) fn open(
    options: TargetOptions,
    spool_dir: impl FnOnce() -> PathBuf,
    stop: &Arc<AtomicBool>,
) -> Result<NamedTarget, Failure> {
    let way = way(options.bandwidth, stop);
    let (target, folder): (Box<dyn Target>, _) = match options.kind {
        TargetKind::Filesystem { path } => (Box::new(Filesystem::at(&path)), Some(path)),
        #[cfg(feature = "s3")]
        TargetKind::S3(settings) => {
            let access_key = settings.find_access_key(&brackup::config::Surroundings::of_process())?;
            let bucket = settings.bucket;
            (Box::new(brackup::target::S3::open(bucket, access_key, spool_dir(), way)?), None)
        }
        TargetKind::Sftp(folder) => (Box::new(Sftp::open(*folder, spool_dir(), way)?), None),
        #[cfg(feature = "webdav")]
        TargetKind::WebDav(settings) => {
            let login = settings.find_login(&brackup::config::Surroundings::of_process())?;
            let collection = settings.collection;
            (Box::new(brackup::target::WebDav::open(collection, login, spool_dir(), way)?), None)
        }
        #[cfg(feature = "brackup")]
        TargetKind::Brackup(settings) => {
            let token = settings.find_token(&brackup::config::Surroundings::of_process())?;
            (Box::new(brackup::target::Brackup::open(settings.server, token, spool_dir(), way)?), None)
        }
        // `Config::target` and `target_from_url` hand out none of them.
        kind => {
            let _ = (spool_dir, way, kind);
            return Err(Failure::usage("this program can't store to targets of this type"));
        }
    };
    Ok(NamedTarget { name: options.name, target, folder })
}

/// As fast as the time of day allows, by the clock on the wall.
fn way(bandwidth: Option<Bandwidth>, stop: &Arc<AtomicBool>) -> Way {
    let way = Way::until(stop.clone());
    let Some(bandwidth) = bandwidth else { return way };
    let zone = Zone::of_process();
    way.at_most(move || {
        let now = Utc::from_system(SystemTime::now()).to_unix();
        bandwidth.at(zone.minute_of_day(now))
    })
}
