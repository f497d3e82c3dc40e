//! Everything that is tested through the face of the library or of the program. One binary: it links once and starts once. (core.rs has a part of it, for other CPUs.)
//!
//! What needs root (devices, owners, trusted attributes, mounts) is done when root and said to be left out otherwise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr, reason = "tests")]

/// What to do about errors.
mod advice;
/// Who is told of jobs.
#[cfg(feature = "http")]
mod alerts;
/// Stores written by earlier versions are read for ever.
mod archives;
/// What goes after a question.
mod asked;
/// What one answer tells is not asked twice.
#[cfg(all(feature = "s3", feature = "webdav"))]
mod asked_once;
/// Quickstart and keys.
mod beginning;
/// A target that is not as it was.
mod belief;
/// How fast this box is.
#[cfg(feature = "bench")]
mod bench;
/// Another box as a target.
#[cfg(all(feature = "brackup", feature = "web"))]
mod brackup_target;
/// The owner's page there, in a browser.
#[cfg(all(feature = "brackup", feature = "web"))]
mod browser;
/// The BR2_EXTERNAL tree.
mod buildroot;
/// What of a tree is backed up.
mod choice;
/// Exit codes, words, JSON.
mod cli;
/// Chunks of which little is used.
mod compaction;
/// What any target must do, alone and wrapped.
mod conformance;
/// Copies of backups at other targets.
mod copies;
/// What others have stored.
mod copy_strangers;
/// Stops after every storage call, every database call, and by kill -9.
mod crash;
/// What is stored, remembered or kept is damaged in every way; then the next step is taken.
mod damage;
/// Examples parse, links lead somewhere.
mod docs;
/// The door of a box, and who means harm there.
#[cfg(feature = "web")]
mod door;
/// How much anybody gets at the door of a box.
#[cfg(feature = "web")]
mod door_bounds;
/// That places at the door of a box go round.
#[cfg(feature = "web")]
mod door_fair;
/// The program on both sides of a door.
#[cfg(all(feature = "brackup", feature = "web"))]
mod door_program;
/// Google Drive.
#[cfg(feature = "gdrive")]
mod drive;
/// What Google Drive might answer and should not.
#[cfg(feature = "gdrive")]
mod drive_answers;
/// Names of Google Drive, which are no keys.
#[cfg(feature = "gdrive")]
mod drive_names;
/// The program with a target of Google Drive.
#[cfg(feature = "gdrive")]
mod drive_program;
/// A real client of Google Drive.
#[cfg(feature = "gdrive")]
mod drive_rclone;
/// Disks that are full or gone, keys that are wrong, runs that meet.
mod failures;
/// How often a run waits for a disk.
mod flash;
/// What is remembered, what is needed and what is there are held against each other.
mod fsck;
/// What of it is mended.
mod fsck_repair;
/// Chunks that nothing needs, and only those, go.
mod garbage;
/// Trees that proptest makes.
mod generated;
/// The chain of signatures, shown.
mod history;
/// What is secret is said nowhere.
#[cfg(all(feature = "brackup", feature = "s3", feature = "web", feature = "webdav"))]
mod hush;
/// How many chunks are on their way at a time.
mod in_flight;
/// The init scripts, started.
mod init;
/// What the program writes, restored by a reader in another language.
mod interop;
/// Imports go down only; what belongs where stays there.
mod layers;
/// Alerts by mail.
#[cfg(feature = "email")]
mod letters;
/// Metafiles that mean harm.
mod malice;
/// Files that change, vanish or can't be read under way.
mod meddling;
/// Backups as folders.
#[cfg(feature = "mount")]
mod mount;
/// Metafiles that mean harm, mounted.
#[cfg(feature = "mount")]
mod mount_malice;
/// Tags of MP3 files.
mod mp3;
/// Linux 3.2, and disks without hard links.
#[cfg(target_arch = "x86_64")]
mod old_kernel;
/// From a laptop to a NAS, and from there to another place.
#[cfg(all(feature = "brackup", feature = "web"))]
mod onward;
/// The words of the Perl original.
#[cfg(feature = "original")]
mod original;
/// Owners and access at a restore.
mod owners;
/// Packages for boxes.
mod packages;
/// The owner's page there.
#[cfg(feature = "web")]
mod page;
/// Runs the real binary.
mod program;
/// A file's contents from any place.
#[cfg(feature = "mount")]
mod random;
/// A box that has lost its memory.
#[cfg(feature = "rebuild")]
mod rebuild;
/// What an imported inventory says of files.
#[cfg(feature = "rebuild")]
mod recall;
/// Disks that drop out and come back.
mod removable;
/// Some files of the newest backups, restored for a test.
#[cfg(feature = "restore-test")]
mod restore_test;
/// Which backups stay, and how others go.
mod retention;
/// A tree comes back as it was.
mod round_trip;
/// S3.
#[cfg(feature = "s3")]
mod s3;
/// What S3 might answer and should not.
#[cfg(feature = "s3")]
mod s3_answers;
/// A third server of S3.
#[cfg(feature = "s3")]
mod s3_garage;
#[cfg(feature = "s3")]
mod s3_lock;
#[cfg(feature = "s3")]
mod s3_neighbours;
#[cfg(feature = "s3")]
mod s3_policy;
/// A part of everything is read each night.
mod sampling;
/// Jobs that run by themselves.
mod serve;
/// What they copy on.
#[cfg(feature = "web")]
mod serve_copies;
mod serve_jobs;
mod serve_upkeep;
#[cfg(feature = "web")]
mod serve_wishes;
/// What packages make a service of.
mod service;
mod several;
/// Where not all goes well.
mod several_failures;
/// SFTP.
mod sftp;
/// What a server of SFTP, or ssh, might answer and should not.
mod sftp_answers;
/// The program with a target on a server of SFTP.
mod sftp_program;
/// Wires that stand still.
mod stall;
/// Trees, boxes, targets and programs to test with.
mod support;
/// A small tree, as text.
mod tree;
/// The format, held to bytes that other code made.
mod vectors;
/// WebDAV.
#[cfg(feature = "webdav")]
mod webdav;
/// What WebDAV might answer and should not.
#[cfg(feature = "webdav")]
mod webdav_answers;
/// All protocols, over wires with faults.
mod wire;
#[cfg(all(feature = "s3", feature = "webdav"))]
mod wrong_server;
/// Backups, removals and collections in every order.
mod years;
