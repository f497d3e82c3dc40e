//! A block device, or a file in its place, as one image.

use std::time::SystemTime;

use super::Intake;
use crate::backup::{Error, spool, unreadable};
use crate::entry::{Entry, Kind, Stat, Time};
use crate::monitor::{Counter, Phase};
use crate::relpath::RelPath;
use crate::source::{Contents, Seams};

impl Intake<'_> {
    /// Takes a block device in as one image. It has no times that would tell whether it changed: it is always read.
    pub(in crate::backup) fn image(&mut self, mut contents: Contents, length: u64) -> Result<(), Error> {
        use std::os::unix::ffi::OsStrExt as _;
        let name = self.options.path.file_name().map_or(&b"image"[..], |name| name.as_bytes());
        let path = RelPath::parse(name).unwrap_or_default();
        self.tally.at(Phase::Backup, &path);
        self.tally.count(Counter::ExpectedBytes, length);
        path.sort_key(&mut self.sort_key);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let time = Time { seconds: i64::try_from(now.as_secs()).unwrap_or(0), nanoseconds: now.subsec_nanos() };
        let stat = contents.stat().map_err(|error| unreadable(self.options, error))?;
        let stat = Stat { kind: Kind::Image, mtime: time, ctime: time, node: (0, 0), mode: 0o600, ..stat };
        let mut entry = Entry::new(Stat { size: length, ..stat });
        self.take_whole(&path, &mut contents, length, Seams::default(), &mut entry)?;
        self.tally.count(Counter::Files, 1);
        self.record.clear();
        entry.push_record(&mut self.record);
        self.draft.entry(&path, None, &self.record).map_err(|error| spool(self.options, error))
    }
}
