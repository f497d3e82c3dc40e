//! The whole loop of backup, verification and restore over a wire that stands still once, on each protocol: both ends are there, and nothing moves.
//!
//! The patience is shorter than that of the program, which is no key of the configuration; all else is as in wire.rs.

use std::time::{Duration, Instant};

use brackup::monitor::Quiet;
use brackup::restore::Conflict;
use brackup::target::{Target, Way};
use tempfile::TempDir;

use crate::support::{Direction, Faulty, Harm, Nas, Sshd, Tree, noise, quick};

/// Longer than what a server thinks of on a machine that does much else, a flush to its disk included.
const PATIENCE: Duration = Duration::from_secs(3);
/// What a step takes in which it stands still once: a hundred times as long would be the program's patience. SFTP waits for a disk five times as long.
const TAKES: std::ops::Range<Duration> = Duration::from_millis(2900)..Duration::from_secs(60);

#[cfg(any(feature = "gdrive", feature = "s3", feature = "webdav", all(feature = "brackup", feature = "web")))]
fn way(patience: Option<Duration>) -> Way {
    patience.map_or_else(Way::default, |patience| Way::default().within(patience))
}

/// A server, and a target there through this port, below a folder of this name.
fn loops<T: Target>(server: u16, open: impl Fn(u16, &str, &TempDir, Option<Duration>) -> T) {
    let (tree, wire) = (Tree::new(), Faulty::before(server));
    tree.file("text", "some text\n".repeat(1000));
    tree.file("noise", noise(9, 2_500_000));
    tree.file("folder/small", "small");
    let (nas, spool) = (Nas::new(), TempDir::new().unwrap());
    let target = open(wire.port(), "clean", &spool, None);
    wire.arm(None);
    let name = nas.try_backup(&tree.root, &target, &Quiet::default()).unwrap().name();
    let (to_server, to_client) = wire.passed();
    wire.arm(None);
    nas.restore_from(&target, &name, &Tree::absent().root, Conflict::Abort, &Quiet::default()).unwrap();
    let (_, restored) = wire.passed();
    drop(target);

    // What a server says to a backup is short, and what it is asked at a restore.
    for (direction, in_backup, in_restore) in [
        (Direction::ToServer, to_server / 2, None),
        (Direction::ToServer, to_server - 20_000, None),
        (Direction::ToClient, to_client / 2, Some(restored / 2)),
        (Direction::ToClient, to_client / 4, Some(restored / 5)),
    ] {
        let case = format!("{direction:?} {in_backup} of {to_server}, {to_client}");
        let nas = Nas::new();
        let target = open(wire.port(), &format!("{direction:?}-{in_backup}"), &spool, Some(PATIENCE));
        wire.arm(Some((Harm::Still, direction, in_backup)));
        let began = Instant::now();
        let done = nas.try_backup(&tree.root, &target, &Quiet::default());
        assert!(!wire.is_armed(), "{case}: it did not come to pass");
        assert!(TAKES.contains(&began.elapsed()), "{case}: {:?}", began.elapsed());
        let name = done.unwrap_or_else(|error| panic!("{case}: {error}")).name();
        assert_eq!(nas.verify_at(&target).unwrap(), [], "{case}");
        let mut metafiles = 0;
        target
            .list(&mut |name, _| {
                metafiles += u32::from(!name.tells_contents());
                Ok(())
            })
            .unwrap();
        assert_eq!(metafiles, 1, "{case}");

        wire.arm(in_restore.map(|at| (Harm::Still, Direction::ToClient, at)));
        let (back, began) = (Tree::absent(), Instant::now());
        let told = nas.restore_from(&target, &name, &back.root, Conflict::Abort, &Quiet::default());
        assert_eq!(told.unwrap_or_else(|error| panic!("{case}: {error}")), [], "{case}");
        assert!(!wire.is_armed(), "{case}: it did not come to pass");
        assert!(in_restore.is_none() || TAKES.contains(&began.elapsed()), "{case}: {:?}", began.elapsed());
        tree.snapshot().assert_same(&back.snapshot());
        wire.arm(None);
    }
}

#[cfg(feature = "s3")]
#[test]
fn s3_over_a_wire_that_stands_still() {
    use super::s3::{access_key, bucket};
    use crate::support::{ACCESS_KEY, SECRET_KEY, Weed};
    use brackup::target::S3;
    let Some(weed) = Weed::start() else { return };
    weed.bucket("still", "");
    loops(weed.port(), |port, name, spool, patience| {
        let bucket = bucket(&format!("http://127.0.0.1:{port}"), "still", &format!("{name}/"));
        S3::open(bucket, access_key(ACCESS_KEY, SECRET_KEY), spool.path().into(), way(patience)).unwrap()
    });
}

#[cfg(feature = "webdav")]
#[test]
fn webdav_over_a_wire_that_stands_still() {
    use super::webdav::{collection, login};
    use crate::support::{Dav, Kind, PASSWORD, USER};
    use brackup::target::WebDav;
    let Some(apache) = Dav::start(Kind::Apache) else { return };
    loops(apache.port(), |port, name, spool, patience| {
        let at = collection(&format!("http://127.0.0.1:{port}/basic/{name}/"));
        WebDav::open(at, login(USER, PASSWORD), spool.path().into(), way(patience)).unwrap()
    });
}

#[cfg(feature = "gdrive")]
#[test]
fn google_drive_over_a_wire_that_stands_still() {
    use crate::support::drive::{Drive, open};
    let Some(drive) = Drive::start() else { return };
    let keys = tempfile::tempdir().unwrap();
    loops(drive.port(), |port, name, spool, patience| {
        open(&format!("http://127.0.0.1:{port}"), name, drive.login(keys.path()), spool, way(patience))
    });
}

#[test]
fn sftp_over_a_wire_that_stands_still() {
    use brackup::target::{Pace, Sftp};
    let Some(server) = Sshd::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    loops(server.port(), |port, name, spool, patience| {
        let at = server.at_port(port, &folder.path().join(name));
        let pace = Pace { idle: patience.unwrap_or_else(|| quick().idle), ..quick() };
        Sftp::open(at, spool.path().into(), Way::default()).unwrap().at_pace(pace)
    });
}

#[cfg(all(feature = "brackup", feature = "web"))]
#[test]
fn another_box_over_a_wire_that_stands_still() {
    use crate::support::{Doorway, quick_limits};
    use brackup::provider::{Endpoint, Server, Trust};
    use brackup::target::Brackup;
    let doorway = Doorway::with(quick_limits(), brackup::config::DoorTls::None, None);
    let port = doorway.address().port();
    let doorway = std::cell::RefCell::new(doorway);
    loops(port, |port, name, spool, patience| {
        let mut doorway = doorway.borrow_mut();
        let path = doorway.folder.path().join(name);
        doorway.add(name, &path, None);
        doorway.change();
        let endpoint = Endpoint::parse(&format!("http://127.0.0.1:{port}/")).unwrap();
        let server = Server { endpoint, trust: Trust::System };
        Brackup::open(server, doorway.tokens.last().unwrap().clone(), spool.path().into(), way(patience)).unwrap()
    });
}
