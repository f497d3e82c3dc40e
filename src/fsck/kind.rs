//! The kinds of inconsistency, in words for people and for programs, and what to do about each.

/// A kind of inconsistency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The local database.
    Database,
    /// What backups need is not what they needed.
    Refs,
    /// Backups of which it is not known whether they were stored.
    PendingBackup,
    /// Chunks that are not there.
    MissingChunk,
    /// Chunks of another length.
    OddChunk,
    /// Chunks whose SHA-1 is not their name.
    DamagedChunk,
    /// Needed chunks that are there and not counted on.
    DoubtedChunk,
    /// Backups that lack chunks.
    IncompleteBackup,
    /// Backups of this box that it does not remember.
    ForgottenBackup,
    /// Metafiles that can't be used.
    DamagedMetafile,
    /// Metafiles that are not what was stored.
    ReplacedMetafile,
    /// Backups that are gone.
    MissingBackup,
    /// Backups that were removed, which was not noted.
    RemovedBackup,
    /// Backups beside their tombstones.
    UnfinishedRemoval,
    /// Tombstones that can't be used.
    DamagedTombstone,
}

/// All of them, in the order in which they are told.
pub const KINDS: [Kind; 15] = {
    use Kind::*;
    [
        Database,
        Refs,
        PendingBackup,
        MissingChunk,
        OddChunk,
        DamagedChunk,
        DoubtedChunk,
        IncompleteBackup,
        ForgottenBackup,
        DamagedMetafile,
        ReplacedMetafile,
        MissingBackup,
        RemovedBackup,
        UnfinishedRemoval,
        DamagedTombstone,
    ]
};

impl Kind {
    /// A word for programs, which stays.
    pub fn word(self) -> &'static str {
        self.words().0
    }

    /// What it is.
    pub fn what(self) -> &'static str {
        self.words().1
    }

    /// What to do about it.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::Database => {
                "nothing is repaired with it; `brackup rebuild`, where the secret key is, makes a new one of what is at the target"
            }
            Self::Refs => {
                "nothing is repaired with it, and gc refuses; `brackup rebuild`, where the secret key is, makes it anew of what is at the target"
            }
            Self::PendingBackup => "--repair, or the next backup, finds out",
            Self::MissingChunk => {
                "--repair forgets them, and the next backup stores anew what lay in them; --from-target fetches those that backups need"
            }
            Self::OddChunk => {
                "--repair has the next backup store anew what lay in them; --from-target fetches good ones, and moves these to quarantine; without it they stay while backups need what is whole in them"
            }
            Self::DamagedChunk => {
                "--repair has the next backup store anew what lay in them; --from-target fetches good ones, and moves these to quarantine; without it they stay while backups need what is whole in them"
            }
            Self::DoubtedChunk => "--repair reads them, and counts on those that are whole",
            Self::IncompleteBackup => {
                "--repair --from-target fetches the chunks from another target; the files that lay in them are whole in the next backup, if they are still on the disk"
            }
            Self::ForgottenBackup => "`brackup rebuild`, where the secret key is, learns what they need",
            Self::DamagedMetafile => {
                "--repair --from-target fetches good ones; --repair alone moves to quarantine what nobody remembers and what is no metafile at all; one that stays, that nobody remembers and that is of a source of this box, stops gc until it is moved away from there by hand"
            }
            Self::ReplacedMetafile => "see who can write there; they are left",
            Self::MissingBackup => {
                "--repair --from-target fetches their metafiles; if you removed them, --repair --forget-missing-backups forgets them"
            }
            Self::RemovedBackup => "--repair, or the next prune, notes it",
            Self::UnfinishedRemoval => "prune removes them, if the rules still say so",
            Self::DamagedTombstone => "they say nothing and are left; prune makes a new one if the backup is there",
        }
    }

    /// The same behind a repair.
    pub fn left(self) -> &'static str {
        match self {
            Self::OddChunk | Self::DamagedChunk => {
                "they stay, since backups need what is whole in them, and the next backup stores anew what lay in them; --from-target fetches good ones, and moves these to quarantine"
            }
            kind => kind.remedy(),
        }
    }

    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Database => ("database", "the local database is damaged"),
            Self::Refs => ("refs", "what the database says that backups need is not what it said when they were made"),
            Self::PendingBackup => {
                ("pending-backup", "backups of which it is not known whether they came to be stored")
            }
            Self::MissingChunk => ("missing-chunk", "chunks that were stored and are not there"),
            Self::OddChunk => ("odd-chunk", "chunks that are there with another length than they were stored with"),
            Self::DamagedChunk => ("damaged-chunk", "chunks whose SHA-1 is not their name"),
            Self::DoubtedChunk => (
                "doubted-chunk",
                "chunks that backups need, that are there, and that this box does not count on since it once did not find them whole",
            ),
            Self::IncompleteBackup => {
                ("incomplete-backup", "backups that are not whole: chunks that they need are missing or damaged")
            }
            Self::ForgottenBackup => (
                "forgotten-backup",
                "backups that this box has made and does not remember: gc deletes nothing while they are there",
            ),
            Self::DamagedMetafile => (
                "damaged-metafile",
                "metafiles that can't be used: the footer, its signature or the digest does not hold",
            ),
            Self::ReplacedMetafile => {
                ("replaced-metafile", "metafiles that are good and not the ones that this box has stored")
            }
            Self::MissingBackup => {
                ("missing-backup", "backups that are remembered and not there, and nothing says who removed them")
            }
            Self::RemovedBackup => ("removed-backup", "backups that were removed, which this box has not noted"),
            Self::UnfinishedRemoval => ("unfinished-removal", "backups that are there beside their own tombstones"),
            Self::DamagedTombstone => ("damaged-tombstone", "tombstones that can't be used"),
        }
    }
}

/// Examples that are named.
const NAMED_MAX: usize = 3;

/// What was found of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Finding {
    /// How many.
    pub count: u64,
    /// Of these, mended in this run.
    pub mended: u64,
    /// Some of their names.
    pub examples: Vec<String>,
}

/// What was found of each kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings([Finding; KINDS.len()]);

impl Findings {
    /// What was found of a kind.
    pub fn of(&self, kind: Kind) -> &Finding {
        &self.0[kind as usize]
    }

    /// How many are left of all kinds.
    pub fn left(&self) -> u64 {
        self.0.iter().map(|finding| finding.count - finding.mended).sum()
    }

    /// One more.
    pub fn add(&mut self, kind: Kind, name: impl ToString, is_mended: bool) {
        let finding = &mut self.0[kind as usize];
        finding.count += 1;
        finding.mended += u64::from(is_mended);
        if finding.examples.len() < NAMED_MAX {
            finding.examples.push(name.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_place_and_its_word() {
        for (at, kind) in KINDS.into_iter().enumerate() {
            assert_eq!(kind as usize, at);
            assert_eq!(KINDS.iter().filter(|other| other.word() == kind.word()).count(), 1);
            assert!(!kind.remedy().ends_with('.') && !kind.what().is_empty());
        }
    }
}
