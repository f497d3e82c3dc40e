//! What the original's programs are called and take, and what does it today: a table, and what `--help` says of it.

/// One thing that the original could do.
pub(super) struct Way {
    /// The name of the program.
    pub(super) program: &'static str,
    /// The command behind its target, where it has several.
    pub(super) command: &'static str,
    /// What is done today.
    pub(super) today: &'static [&'static str],
    /// What stands behind the options, and in front of what it goes today; nothing: it stands alone.
    pub(super) operands: &'static [(&'static str, &'static str)],
    /// Options beside [`COMMON`], with `=` if they have a value, and what they are today.
    pub(super) options: &'static [(&'static str, &'static str)],
}

/// Options of all programs.
pub(super) const COMMON: &[(&str, &str)] = &[
    ("config=", "--config="),
    ("json", "--json"),
    ("progress=", "--progress="),
    ("q", "--quiet"),
    ("quiet", "--quiet"),
    ("v", "--verbose"),
    ("verbose", "--verbose"),
];

/// Stands alone, behind the options: a metafile, or the name of a backup.
pub(super) const METAFILE: &str = "METAFILE";
/// Stands alone, behind the options.
pub(super) const PATH: &str = "PATH";
/// Is what happens anyway.
pub(super) const ANYWAY: &str = "";
const CANNOT_DELETE: &str = "!nothing that is damaged is deleted: the next backup of the box that made it stores it anew once `brackup verify` there has found it";

pub(super) const WAYS: &[Way] = &[
    Way {
        program: "brackup-restore",
        command: "",
        today: &["restore"],
        operands: &[],
        options: &[
            ("accept-unsigned", "--accept-unsigned"),
            ("all", ANYWAY),
            ("conflict=", "--conflict="),
            ("dry-run", "--dry-run"),
            ("from=", METAFILE),
            ("just=", PATH),
            ("key=", "--key="),
            ("n", "--dry-run"),
            ("numeric-ids", "--numeric-ids"),
            ("on-error=", "--on-error="),
            ("onerror=", "--on-error="),
            ("target=", "--from="),
            ("to=", "--to="),
        ],
    },
    Way {
        program: "brackup-target",
        command: "list-backups",
        today: &["list"],
        operands: &[("TARGET", "")],
        options: &[],
    },
    Way {
        program: "brackup-target",
        command: "get-backup",
        today: &["fetch"],
        operands: &[("TARGET", "--from="), ("NAME", "")],
        options: &[("dest=", "--to=")],
    },
    Way {
        program: "brackup-target",
        command: "get-backups",
        today: &["fetch"],
        operands: &[("TARGET", "--from=")],
        options: &[("dest=", "--to=")],
    },
    Way {
        program: "brackup-target",
        command: "delete-backup",
        today: &["prune"],
        operands: &[("TARGET", ""), ("NAME", "--backup=")],
        options: &[("dry-run", "--dry-run"), ("interactive", "--interactive"), ("n", "--dry-run")],
    },
    Way {
        program: "brackup-target",
        command: "prune",
        today: &["prune"],
        operands: &[("TARGET", "")],
        options: &[
            ("dry-run", "--dry-run"),
            ("interactive", "--interactive"),
            ("keep-backups=", "--keep-last="),
            ("n", "--dry-run"),
            ("source=", "--source="),
        ],
    },
    Way {
        program: "brackup-target",
        command: "gc",
        today: &["gc"],
        operands: &[("TARGET", "")],
        options: &[("dry-run", "--dry-run"), ("interactive", "--interactive"), ("n", "--dry-run")],
    },
    Way {
        program: "brackup-verify-chunks",
        command: "",
        today: &["verify"],
        operands: &[("DIR", "--chunks=")],
        options: &[("delete", CANNOT_DELETE), ("l=", CANNOT_DELETE), ("limit=", CANNOT_DELETE)],
    },
    Way {
        program: "brackup-verify-inventory",
        command: "",
        today: &["fsck"],
        operands: &[("TARGET", "")],
        options: &[("delete", "--repair")],
    },
    #[cfg(feature = "mount")]
    Way {
        program: "brackup-mount",
        command: "",
        today: &["mount"],
        operands: &[("TARGET", ""), ("MOUNTPOINT", "")],
        options: &[("accept-unsigned", "--accept-unsigned"), ("key=", "--key=")],
    },
];

/// Each program, in a line, and what it answers to `--help`. Packages link the names that stand here.
pub(super) const HELP: &[(&str, &str, &str)] = &[
    ("brackup-restore", "brackup-restore --from=METAFILE --to=DIR --all, or --just=PATH", RESTORE),
    (
        "brackup-target",
        "brackup-target TARGET list_backups, get_backup NAME, get_backups, delete_backup NAME, prune or gc",
        TARGET,
    ),
    ("brackup-verify-chunks", "brackup-verify-chunks [DIR]", VERIFY_CHUNKS),
    ("brackup-verify-inventory", "brackup-verify-inventory TARGET", VERIFY_INVENTORY),
    #[cfg(feature = "mount")]
    ("brackup-mount", "brackup-mount TARGET MOUNTPOINT", MOUNT),
];

const RESTORE: &str = "\
brackup-restore --from=METAFILE --to=DIR --all
brackup-restore --from=METAFILE --to=DIR --just=PATH

  --from=METAFILE      a metafile, as `brackup-target TARGET get_backup` fetches it, or the name of a backup
  --to=DIR             the folder to restore to
  --all                everything
  --just=PATH          a file, or a directory and what is below it; may be repeated
  --onerror=HOW        continue (default), abort at the first problem
  --conflict=RULE      what to do with files that are there: abort (default), skip, overwrite, update, identical
  --target=TARGET      where the chunks are [default: the only target of the configuration]
  --key=FILE           secret key file [default: $BRACKUP_KEY]
  --accept-unsigned, --numeric-ids, -n, --config=FILE, -v, -q, --json, --progress=HOW   as of `brackup restore`

Today it is `brackup restore`.
";

const TARGET: &str = "\
brackup-target TARGET list_backups           the backups on it; today `brackup list`
brackup-target TARGET get_backup NAME        fetches a metafile; today `brackup fetch`
brackup-target TARGET get_backups            fetches all of them
brackup-target TARGET delete_backup NAME     removes a backup; today `brackup prune --backup`
brackup-target TARGET prune                  removes old backups; today `brackup prune`
brackup-target TARGET gc                     deletes chunks that no backup needs; today `brackup gc`

  --dest=DIR           get_backup, get_backups: the folder to fetch to [default: this one]
  --keep-backups=N     prune: keep the newest N of each source
  --source=SOURCE      prune: only backups of this source
  --interactive        delete_backup, prune, gc: ask before something goes
  -n, --dry-run        delete_backup, prune, gc: say what would go
  --config=FILE, -v, -q, --json, --progress=HOW   as of `brackup`
";

const VERIFY_CHUNKS: &str = "\
brackup-verify-chunks [DIR]

Compares the SHA-1 of each chunk below DIR, or below this folder, with its name. Needs no key and no configuration.

  -v, -q, --json, --progress=HOW   as of `brackup`

Today it is `brackup verify --chunks`.
";

const VERIFY_INVENTORY: &str = "\
brackup-verify-inventory TARGET [--delete]

Holds what this box remembers against what is there, and says what does not agree.

  --delete             forget what is not there, and mend what can be mended
  --config=FILE, -v, -q, --json, --progress=HOW   as of `brackup fsck`

Today it is `brackup fsck`.
";

#[cfg(feature = "mount")]
const MOUNT: &str = "\
brackup-mount TARGET MOUNTPOINT

Shows all backups of a target, each in a folder ROOT/NAME. The original showed that of one metafile.

  --key=FILE           secret key file [default: $BRACKUP_KEY]
  --accept-unsigned, --config=FILE, -v, -q, --json, --progress=HOW   as of `brackup mount`

Today it is `brackup mount`.
";
