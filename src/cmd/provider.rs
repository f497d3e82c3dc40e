//! From what the configuration says of a target to the target: the one place that knows which types there are in this build.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use brackup::config::{TargetKind, TargetOptions};
use brackup::target::{Filesystem, Target};

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
    let (target, folder): (Box<dyn Target>, _) = match options.kind {
        TargetKind::Filesystem { path } => (Box::new(Filesystem::at(&path)), Some(path)),
        #[cfg(feature = "s3")]
        TargetKind::S3(settings) => {
            let access_key = settings.find_access_key(&brackup::config::Surroundings::of_process())?;
            let bucket = settings.bucket;
            (Box::new(brackup::target::S3::open(bucket, access_key, spool_dir(), stop.clone())?), None)
        }
        // `Config::target` and `target_from_url` hand out none of them.
        kind => {
            let _ = (spool_dir, stop, kind);
            return Err(Failure::usage("this program can't store to targets of this type"));
        }
    };
    Ok(NamedTarget { name: options.name, target, folder })
}
