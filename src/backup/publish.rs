//! The metafile: the draft turned into documents, compressed, sealed, signed and stored. Last of all (I1).

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::time::SystemTime;

use super::draft::{Draft, Drafted};
use super::{Error, Options, Padding, spool};
use crate::blob::{ChunkNo, Item};
use crate::date::Utc;
use crate::db::{Backup, ChainHead, Chunks, Db};
use crate::digest::Key;
use crate::entry::{Entry, read_items};
use crate::limits::METAFILE_WINDOW_LOG;
use crate::metafile::{Header, Trailer, push_entry, push_header, push_part, push_trailer};
use crate::monitor::{Counter, Phase, Tally};
use crate::seal::{BoxKey, Footer, Role, Sealing, append_footer, padme};
use crate::source::Owners;
use crate::target::{self, BackupName, ErrorKind, ObjectName, Stage, Target};
use crate::thread;

/// Text that is gathered before it goes to be compressed and sealed.
const TEXT_BYTES: usize = 64 * 1024;
const ZSTD_LEVEL: i32 = 1;

/// All that a metafile is made of.
pub(super) struct Publication<'a> {
    pub(super) options: &'a Options<'a>,
    pub(super) target: &'a dyn Target,
    pub(super) db: &'a Db,
    pub(super) identity: &'a str,
    pub(super) box_key: &'a BoxKey,
    pub(super) chain: Option<ChainHead>,
    pub(super) started: SystemTime,
    pub(super) tally: &'a Tally<'a>,
}

impl Publication<'_> {
    /// Writes, signs and stores the metafile, and records the backup.
    pub(super) fn publish(self, draft: Draft) -> Result<BackupName, Error> {
        let signer = self.box_key.public();
        let sequence = self.chain.as_ref().map_or(1, |head| head.sequence + 1);
        let mut backup = Backup::create(self.db, self.identity, self.options.root, &signer.to_string(), sequence)?;
        let (stage, trailer) = self.seal_documents(draft, &mut backup)?;
        let name = self.next_name()?;
        let footer = Footer {
            signer,
            root: self.options.root.into(),
            backup: name.to_string(),
            sequence,
            previous: self.chain.as_ref().map_or([0; 32], |head| head.footer),
            sealed_sha256: stage.sha256().unwrap_or_default(),
            sealed_length: stage.length(),
            chunks: backup.chunks(),
        };
        let mut stage = stage;
        let digest = append_footer(&footer, self.box_key, |sealed| stage.write(sealed))?;
        let finished = stage.finish();
        self.tally.count(Counter::StoredBytes, finished.length());
        let head = ChainHead { backup: footer.backup, sequence, footer: digest };
        backup.expect(&head, self.created().to_unix(), trailer.entries, trailer.bytes)?;
        self.target.put(&ObjectName::Metafile(name.clone()), finished)?;
        backup.stored()?;
        Ok(name)
    }

    /// One thread writes text, one compresses and seals it.
    fn seal_documents(&self, draft: Draft, backup: &mut Backup<'_>) -> Result<(Stage, Trailer), Error> {
        let (filled, to_seal) = sync_channel::<String>(2);
        let (back, empty) = channel();
        for _ in 0..2 {
            let _ = back.send(String::with_capacity(TEXT_BYTES * 2));
        }
        std::thread::scope(|scope| {
            let (options, target) = (self.options, self.target);
            let sealing = move || seal(options, target, &to_seal, &back);
            let sealing = thread::named("metafile").spawn_scoped(scope, sealing).map_err(Error::Thread)?;
            let mut pages = Pages { filled, empty, page: String::with_capacity(TEXT_BYTES * 2) };
            let written = self.write_documents(draft, backup, &mut pages);
            drop(pages);
            // If sealing failed, writing did too, for want of a reader: the first says why.
            let stage = sealing.join().map_err(|_| Error::Stopped)??;
            Ok((stage, written?))
        })
    }

    fn write_documents(&self, draft: Draft, backup: &mut Backup<'_>, pages: &mut Pages) -> Result<Trailer, Error> {
        let mut chunks = Chunks::open(self.db, self.identity)?;
        let mut owners = Owners::default();
        let mut trailer = Trailer { problems: self.tally.sums().problems, ..Trailer::default() };
        let mut keyed = Entry::new(Default::default());
        let failed = |error| spool(self.options, error);
        push_header(&self.header(), &mut pages.page);
        let mut reader = draft.read().map_err(failed)?;
        let (mut drafted, mut part) = (Drafted::default(), 0);
        while reader.next(&mut drafted).map_err(failed)? {
            let damaged = || failed(io::Error::other("the draft of the metafile is damaged"));
            if drafted.is_part {
                let items = read_items(&drafted.record).ok_or_else(damaged)?;
                key_items(&items, &mut keyed.items, &mut chunks, backup)?;
                push_part(&drafted.path, part, &keyed.items, &mut pages.page);
                part += 1;
            } else {
                let entry = Entry::read_record(&drafted.record).ok_or_else(damaged)?;
                part = 0;
                trailer.entries += 1;
                trailer.files += u64::from(entry.stat.kind.has_contents());
                trailer.bytes += entry.stat.size;
                self.tally.at(Phase::Metafile, &drafted.path);
                let mut items = std::mem::take(&mut keyed.items);
                key_items(&entry.items, &mut items, &mut chunks, backup)?;
                keyed = Entry {
                    stat: entry.stat,
                    sha1: entry.sha1,
                    target: entry.target,
                    xattrs: entry.xattrs,
                    changed: entry.changed,
                    problem: entry.problem,
                    parts: entry.parts,
                    items,
                };
                let user = owners.user(keyed.stat.uid).map(str::to_owned);
                let names = (user.as_deref(), owners.group(keyed.stat.gid));
                push_entry(&drafted.path, &keyed, names, drafted.hardlink.as_ref(), &mut pages.page);
            }
            pages.turn_if_full()?;
        }
        push_trailer(&trailer, &mut pages.page);
        pages.turn()?;
        Ok(trailer)
    }

    fn header(&self) -> Header {
        use std::os::unix::ffi::OsStrExt as _;
        Header {
            root: self.options.root.into(),
            host: self.options.host.into(),
            path: self.options.path.as_os_str().as_bytes().into(),
            created: self.created().to_string(),
            software: concat!("brackup ", env!("CARGO_PKG_VERSION")).into(),
        }
    }

    fn created(&self) -> Utc {
        Utc::from_system(self.started)
    }

    /// The next name of the day. None is given twice, and the day never goes back behind that of the newest backup: names are in the
    /// order of the chain, whatever the clock says.
    fn next_name(&self) -> Result<BackupName, Error> {
        let (root, mut day) = (self.options.root, self.created());
        let newest = self.chain.as_ref().and_then(|head| BackupName::parse(&head.backup));
        if let Some(newest) = newest.as_ref().filter(|newest| *newest.day() > *day.yyyymmdd()) {
            let what = format!("the clock is behind it: it says {day}; is it set? this backup is named after that one");
            self.tally.notice(newest.to_string(), what);
            day = Utc::parse(newest.day()).unwrap_or(day);
        }
        let mut number = 0;
        let mut pass = |name: &BackupName| {
            if name.root() == root && name.day() == day.yyyymmdd() {
                number = number.max(name.number().saturating_add(1));
            }
        };
        newest.iter().for_each(&mut pass);
        self.target.list_of(root, &mut |name, _| {
            if let ObjectName::Metafile(name) | ObjectName::Tombstone(name) = name {
                pass(&name);
            }
            Ok(())
        })?;
        let bad_name = || target::Error::new(ErrorKind::Io, format!("{root} can't be the name of a backup"));
        Ok(BackupName::new(root, day, number).ok_or_else(bad_name)?)
    }
}

/// Compresses and seals pages of text into a stage.
fn seal(
    options: &Options<'_>,
    target: &dyn Target,
    to_seal: &Receiver<String>,
    back: &Sender<String>,
) -> Result<Stage, Error> {
    let mut stage = target.stage()?.with_sha256();
    let to_stage = |sealed: crate::blob::Sealed<'_>| stage.write(sealed).map_err(Error::Target);
    let sealing = Sealing::create(options.suite, Role::Metafile, options.recipients, to_stage)?;
    let writer = SealedWriter { sealing, stage, length: 0 };
    let failed = |error: io::Error| match error.downcast::<Error>() {
        Ok(error) => error,
        Err(error) => spool(options, error),
    };
    let mut zstd = zstd::stream::write::Encoder::new(writer, ZSTD_LEVEL).map_err(failed)?;
    zstd.window_log(METAFILE_WINDOW_LOG).map_err(failed)?;
    for mut page in to_seal {
        zstd.write_all(page.as_bytes()).map_err(failed)?;
        page.clear();
        let _ = back.send(page);
    }
    let mut writer = zstd.finish().map_err(failed)?;
    if options.padding != Padding::None {
        writer.pad().map_err(failed)?;
    }
    let SealedWriter { sealing, mut stage, .. } = writer;
    sealing.finish(|sealed| stage.write(sealed).map_err(Error::Target))?;
    Ok(stage)
}

/// Chunk numbers to keys; the backup refers to each.
fn key_items(
    items: &[Item<ChunkNo>],
    keyed: &mut Vec<Item<Key>>,
    chunks: &mut Chunks<'_>,
    backup: &mut Backup<'_>,
) -> Result<(), Error> {
    keyed.clear();
    for item in items {
        keyed.push(match *item {
            Item::Hole { length } => Item::Hole { length },
            Item::Extent { chunk, offset, length, codec } => {
                backup.refer(chunk, length)?;
                // Every chunk that the draft names was stored before the line ended (I1).
                let chunk = chunks.key(chunk)?.ok_or(Error::Stopped)?;
                Item::Extent { chunk, offset, length, codec }
            }
        });
    }
    Ok(())
}

/// Pages of text that go round between the two threads.
struct Pages {
    filled: std::sync::mpsc::SyncSender<String>,
    empty: Receiver<String>,
    page: String,
}

impl Pages {
    fn turn_if_full(&mut self) -> Result<(), Error> {
        if self.page.len() >= TEXT_BYTES { self.turn() } else { Ok(()) }
    }

    fn turn(&mut self) -> Result<(), Error> {
        let empty = self.empty.recv().map_err(|_| Error::Stopped)?;
        let page = std::mem::replace(&mut self.page, empty);
        self.filled.send(page).map_err(|_| Error::Stopped)
    }
}

/// Seals what is written to it into a stage.
struct SealedWriter {
    sealing: Sealing,
    stage: Stage,
    length: u64,
}

impl SealedWriter {
    /// Pads to a Padmé length by a skippable frame (FORMAT.md section 5).
    fn pad(&mut self) -> io::Result<()> {
        let frame = padme(self.length + 8) - self.length - 8;
        let frame = u32::try_from(frame).unwrap_or(u32::MAX);
        self.write_all(&0x184D_2A50_u32.to_le_bytes())?;
        self.write_all(&frame.to_le_bytes())?;
        let to_stage = |sealed: crate::blob::Sealed<'_>| self.stage.write(sealed).map_err(Error::Target);
        self.sealing.pad(u64::from(frame), to_stage).map_err(io::Error::other)
    }
}

impl Write for SealedWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let to_stage = |sealed: crate::blob::Sealed<'_>| self.stage.write(sealed).map_err(Error::Target);
        self.sealing.write(bytes, to_stage).map_err(io::Error::other)?;
        self.length += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
