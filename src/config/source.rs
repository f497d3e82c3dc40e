//! `[SOURCE:name]`: a folder that is backed up, to whom it is sealed and how.

use std::path::PathBuf;

use super::error::{Error, ErrorKind};
use super::findings::Findings;
use super::limits::{
    CHUNK_BYTES_DEFAULT, CHUNK_BYTES_MAX, CHUNK_BYTES_MIN, RECIPIENTS_MAX, ZSTD_LEVEL_MAX, ZSTD_LEVEL_MIN,
};
use super::policy;
use super::rules::IgnoreRules;
use super::size::parse_size_within;
use super::surroundings::Surroundings;
use super::values::{Key, Values, choice, idle, often, once, text};
use super::web_hook::HookSettings;
use crate::policy::Policy;

pub(super) const KEYS: &[Key] = &[
    once("path"),
    often("recipient"),
    often("gpg_recipient"),
    once("chunk_size"),
    often("ignore"),
    often("accept"),
    once("builtin_ignores"),
    once("one_filesystem"),
    once("noatime"),
    once("padding"),
    once("compress"),
    once("smart_mp3_chunking"),
    once("inherit"),
    idle("merge_files_under", "small files always share chunks"),
    idle("max_composite_chunk_size", "small files share chunks of chunk_size"),
    idle("digestdb_file", "the cache is in state_dir"),
    idle("digestdb_type", "the cache has one kind"),
    idle("gpg_path", "gpg is not used"),
    once("webhook_url"),
];

/// One source.
#[derive(Clone, Debug)]
pub struct SourceOptions {
    /// What its backups are called after: 1 to 64 of `A-Z a-z 0-9 . _ -`.
    pub name: String,
    /// The line of its section, from 1.
    pub line: usize,
    /// The folder that is backed up, absolute.
    pub path: PathBuf,
    /// Bytes of payload of a chunk.
    pub chunk_size: u64,
    /// As they are written: a public key, a file or a key id. None twice, and some in what `Config::source`
    /// hands out: a source without any is an error when it is used, not before, as the original's file has one.
    pub recipients: Vec<String>,
    /// `ignore`, `accept` and `builtin_ignores`.
    pub ignore: IgnoreRules,
    /// Whether what is mounted below the path is left out.
    pub one_filesystem: bool,
    /// Whether access times are not to be kept. The format keeps none.
    pub noatime: bool,
    /// How sizes are hidden.
    pub padding: Padding,
    /// How pieces are made smaller.
    pub compress: Compress,
    /// Whether the tags of MP3 files are cut from the audio.
    pub smart_mp3: bool,
    /// What is told of each backup, as the original told it.
    pub webhook: Option<HookSettings>,
    /// Which of its backups stay; empty if the targets say it.
    pub policy: Policy,
}

/// How the last chunk of a run is padded: FORMAT section 5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// To a Padmé length, at most 12 % more.
    Padme,
    /// To the full chunk size.
    Chunk,
    /// Not at all.
    None,
}

/// How pieces are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compress {
    /// Not at all.
    None,
    /// With zstd where it is worth it.
    Zstd {
        /// From -7 to 19 and not 0.
        level: i32,
    },
}

impl SourceOptions {
    /// Nothing if the path is wrong, or if a section that others inherit from has none.
    pub(super) fn read(
        values: &Values<'_>,
        is_parent: bool,
        around: &Surroundings,
        findings: &mut Findings,
    ) -> Option<Self> {
        values.check_with(KEYS, policy::OF_SOURCE, findings);
        let path = values.path("path", around, findings);
        let chunk_size = values
            .read("chunk_size", findings, |value| parse_size_within(text(value)?, CHUNK_BYTES_MIN, CHUNK_BYTES_MAX));
        let recipients = recipients(values, around, findings);
        let ignore = IgnoreRules::read(values, findings);
        let padding = values.read("padding", findings, padding);
        let compress = values.read("compress", findings, compress);
        let one_filesystem = values.flag("one_filesystem", findings);
        let noatime = values.flag("noatime", findings);
        let smart_mp3 = values.flag("smart_mp3_chunking", findings);
        let policy = policy::read(values, findings);
        let webhook = HookSettings::of_the_original(values, findings);
        if let (false, Some(entry)) = (noatime, values.own("noatime")) {
            findings.note(entry.line, "access times are never kept");
        }
        if !is_parent && !values.has("path") {
            values.missing("path", "path = /a/folder", findings);
        }
        if !is_parent && !values.has("recipient") {
            let text = format!("{} has no recipient and cannot be backed up", values.title);
            findings.note(values.lines.0, &text);
        }
        Some(Self {
            name: values.name.into(),
            line: values.lines.0,
            path: path?,
            chunk_size: chunk_size.unwrap_or(CHUNK_BYTES_DEFAULT),
            recipients,
            ignore,
            one_filesystem,
            noatime,
            padding: padding.unwrap_or(Padding::Padme),
            compress: compress.unwrap_or(Compress::Zstd { level: 1 }),
            smart_mp3,
            webhook,
            policy,
        })
    }

    /// An error if nobody could restore it.
    pub(super) fn check_usable(&self) -> Result<(), Error> {
        if !self.recipients.is_empty() {
            return Ok(());
        }
        let found = format!("[SOURCE:{}] has no recipient", self.name);
        Err(Error::new(ErrorKind::MissingKey, found)
            .expected("recipient = a public key, a file with one or a key id")
            .with_hint(Some("`brackup keygen` makes a secret key and prints its recipient".into())))
    }
}

/// All that are named, in any number of lines, several in one line with commas between.
fn recipients(values: &Values<'_>, around: &Surroundings, findings: &mut Findings) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for entry in values.all("recipient") {
        for one in entry.value.split(|byte| *byte == b',') {
            match recipient(one.trim_ascii(), around) {
                Ok(one) if all.contains(&one) => {}
                Ok(one) => all.push(one),
                Err(expected) => {
                    findings.wrong(entry.line, Error::value(entry.key, entry.value, expected));
                }
            }
        }
        if all.len() > RECIPIENTS_MAX {
            let error = Error::new(ErrorKind::TooLarge, "one recipient more");
            let expected = format!("at most {RECIPIENTS_MAX}");
            findings.wrong(entry.line, error.expected(expected));
            break;
        }
    }
    all
}

/// One recipient. What has a `/` is a file, and a relative one would change with the working directory.
fn recipient(one: &[u8], around: &Surroundings) -> Result<String, String> {
    let one = text(one)?;
    if one.is_empty() {
        return Err("recipients with a comma between".into());
    }
    if !one.contains('/') {
        return Ok(one.into());
    }
    let path = around.path(one.as_bytes())?;
    path.into_os_string().into_string().map_err(|_| "UTF-8 text".into())
}

fn padding(value: &[u8]) -> Result<Padding, String> {
    choice(value, &[("padme", Padding::Padme), ("chunk", Padding::Chunk), ("none", Padding::None)])
}

fn compress(value: &[u8]) -> Result<Compress, String> {
    let level = match value {
        b"none" => return Ok(Compress::None),
        b"zstd" => return Ok(Compress::Zstd { level: 1 }),
        [b'z', b's', b't', b'd', b':', level @ ..] => text(level)?.parse().ok(),
        _ => None,
    };
    match level {
        Some(level) if level != 0 && (ZSTD_LEVEL_MIN..=ZSTD_LEVEL_MAX).contains(&level) => Ok(Compress::Zstd { level }),
        _ => Err(format!("none, zstd or zstd:N with N from {ZSTD_LEVEL_MIN} to {ZSTD_LEVEL_MAX} and not 0")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::ini;
    use super::*;

    fn read(text: &str, is_parent: bool) -> Result<(Option<SourceOptions>, Vec<String>), Error> {
        let mut findings = Findings::new("f".into());
        let sections = ini::read(text.as_bytes(), &mut findings);
        let values = Values::of(&sections[0]);
        let around = Surroundings::of_test(1000);
        let source = SourceOptions::read(&values, is_parent, &around, &mut findings);
        Ok((source, findings.finish()?))
    }

    fn source(lines: &str) -> SourceOptions {
        read(&format!("[SOURCE:x]\n{lines}"), false).unwrap().0.unwrap()
    }

    #[test]
    fn defaults() {
        let source = source("path = /x\nrecipient = 5E1B3EC5");
        assert_eq!((source.name.as_str(), source.line), ("x", 1));
        assert_eq!(source.path, PathBuf::from("/x"));
        assert_eq!(source.chunk_size, 64 << 20);
        assert_eq!(source.recipients, ["5E1B3EC5"]);
        assert!(!source.ignore.ignores(b"x~", false));
        assert!(!source.one_filesystem && !source.noatime && !source.smart_mp3);
        assert_eq!(source.padding, Padding::Padme);
        assert_eq!(source.compress, Compress::Zstd { level: 1 });
    }

    #[test]
    fn every_key_is_read() {
        let source = source(
            "path=~/x\nrecipient=a\nchunk_size=5m\nignore=^b\naccept=^bc\nbuiltin_ignores=yes\n\
             one_filesystem=on\nnoatime=1\npadding=chunk\ncompress=zstd:-3\n\
             smart_mp3_chunking=true",
        );
        assert_eq!(source.path, PathBuf::from("/home/brad/x"));
        assert_eq!(source.chunk_size, 5 << 20);
        let ignored = ["b", "bc", "c", "c~"].map(|path| source.ignore.ignores(path.as_bytes(), false));
        assert_eq!(ignored, [true, false, false, true]);
        assert!(source.one_filesystem && source.noatime && source.smart_mp3);
        assert_eq!(source.padding, Padding::Chunk);
        assert_eq!(source.compress, Compress::Zstd { level: -3 });
    }

    #[test]
    fn recipients_are_gathered() {
        let source = source("path=/x\ngpg_recipient=A, B,A\nrecipient= ~/k.pub\ngpg_recipient=brackup1x");
        assert_eq!(source.recipients, ["A", "B", "/home/brad/k.pub", "brackup1x"]);
    }

    #[test]
    fn recipients_have_a_limit() {
        let lines = |n| (0..n).map(|i| format!("recipient={i}\n")).collect::<String>();
        assert_eq!(source(&format!("path=/x\n{}", lines(32))).recipients.len(), 32);
        assert_eq!(
            read(&format!("[SOURCE:x]\npath=/x\n{}", lines(33)), false).unwrap_err().to_string(),
            "f:35: one recipient more, expected at most 32"
        );
    }

    #[test]
    fn paddings_and_compressions() {
        assert_eq!(padding(b"padme"), Ok(Padding::Padme));
        assert_eq!(padding(b"none"), Ok(Padding::None));
        for (value, level) in [("zstd", 1), ("zstd:1", 1), ("zstd:19", 19), ("zstd:-7", -7)] {
            assert_eq!(compress(value.as_bytes()), Ok(Compress::Zstd { level }));
        }
        assert_eq!(compress(b"none"), Ok(Compress::None));
        for value in ["zstd:", "zstd:0", "zstd:20", "zstd:-8", "zstd1", "gzip", "Zstd", "zstd:x"] {
            assert_eq!(
                compress(value.as_bytes()),
                Err("none, zstd or zstd:N with N from -7 to 19 and not 0".into()),
                "{value}"
            );
        }
    }

    #[test]
    fn wrong_values_are_told() {
        for (lines, told) in [
            ("path = x", "f:2: path is \"x\", expected an absolute path or one that begins with ~/"),
            ("chunk_size = 100k", "f:2: chunk_size is \"100k\", expected a size from 1 MiB to 1 GiB"),
            ("chunk_size = 2g", "f:2: chunk_size is \"2g\", expected a size from 1 MiB to 1 GiB"),
            ("chunk_size = 64 MB", "f:2: chunk_size is \"64 MB\", expected a size like 512k, 64MB or 1GiB"),
            ("chunk_size = 0", "f:2: chunk_size is \"0\", expected a size like 512k, 64MB or 1GiB, more than 0"),
            ("padding = full", "f:2: padding is \"full\", expected padme, chunk or none"),
            (
                "compress = lzo",
                "f:2: compress is \"lzo\", expected none, zstd or zstd:N with N from -7 to 19 and not 0",
            ),
            ("one_filesystem = x", "f:2: one_filesystem is \"x\", expected yes or no"),
            ("noatime = x", "f:2: noatime is \"x\", expected yes or no"),
            (
                "recipient = A, k/b.pub",
                "f:2: recipient is \"A, k/b.pub\", expected an absolute path or one that begins with ~/",
            ),
            ("gpg_recipient = a,,b", "f:2: gpg_recipient is \"a,,b\", expected recipients with a comma between"),
            ("ignore = [", "f:2: ignore is \"[\": unclosed character class, expected a regular expression"),
            (
                "chunksize = 5m",
                "f:2: unknown key \"chunksize\" in [SOURCE:x], expected one of path, recipient, gpg_recipient, chunk_size, ignore, accept, builtin_ignores, one_filesystem, noatime, padding, compress, smart_mp3_chunking, inherit, webhook_url, keep_last, keep_backups, keep_daily, keep_weekly, keep_monthly, keep_yearly, keep_within or thinning",
            ),
            ("noatime = 1", "f:1: [SOURCE:x] has no path, expected path = /a/folder"),
        ] {
            let error = read(&format!("[SOURCE:x]\n{lines}"), false).unwrap_err();
            assert_eq!(error.to_string(), told);
        }
    }

    #[test]
    fn a_misspelt_key_is_told_before_the_missing_one() {
        let error = read("[SOURCE:x]\npath=/x\nrecipent = A", false).unwrap_err();
        assert_eq!((error.line(), error.kind()), (Some(3), ErrorKind::UnknownKey));
        assert_eq!(error.hint().as_deref(), Some("did you mean \"recipient\"?"));
    }

    #[test]
    fn without_recipient_it_is_noted_and_refused_when_used() {
        let (source, notes) = read("\n[SOURCE:x]\npath=/x", false).unwrap();
        assert_eq!(notes, ["f:2: [SOURCE:x] has no recipient and cannot be backed up"]);
        let error = source.unwrap().check_usable().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::MissingKey);
        assert_eq!(
            error.to_string(),
            "[SOURCE:x] has no recipient, expected recipient = a public key, a file with one or a key id"
        );
        assert_eq!(error.hint().as_deref(), Some("`brackup keygen` makes a secret key and prints its recipient"));
        assert!(self::source("path=/x\nrecipient=a").check_usable().is_ok());
    }

    #[test]
    fn who_wants_access_times_is_told() {
        let notes = |value| read(&format!("[SOURCE:x]\npath=/x\nrecipient=a\nnoatime={value}"), false).unwrap().1;
        assert_eq!(notes("no"), ["f:4: access times are never kept"]);
        assert_eq!(notes("yes"), [""; 0]);
    }

    #[test]
    fn a_parent_may_lack_what_a_source_needs() {
        assert!(read("[SOURCE:x]\nrecipient=a", true).unwrap().0.is_none());
        let (source, notes) = read("[SOURCE:x]\npath=/x", true).unwrap();
        assert!(source.is_some() && notes.is_empty());
        assert!(read("[SOURCE:x]\npath=x", true).is_err());
    }

    #[test]
    fn idle_keys_are_noted_with_the_reason() {
        for (key, why) in [
            ("merge_files_under", "small files always share chunks"),
            ("max_composite_chunk_size", "small files share chunks of chunk_size"),
            ("digestdb_file", "the cache is in state_dir"),
            ("digestdb_type", "the cache has one kind"),
            ("gpg_path", "gpg is not used"),
        ] {
            let text = format!("[SOURCE:x]\npath=/x\nrecipient=a\n{key} = 1");
            assert_eq!(
                read(&text, false).unwrap().1,
                [format!("f:4: {key} is accepted but does nothing in this version: {why}")]
            );
        }
    }
}
