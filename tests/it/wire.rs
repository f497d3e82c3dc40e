//! The whole loop of backup, verification and restore over wires with a fault, at bytes all along the way, on each protocol.
//!
//! Whatever happens: a run says how it ended, what it said it stored is there once, and the next run goes on.

use std::fs;
use std::path::Path;

#[cfg(feature = "gdrive")]
use crate::support::drive::{CLIENT_ID, CLIENT_SECRET, Drive};
use crate::support::{Direction, Faulty, Harm, Program, Snapshot, Sshd, Tree, code, noise, stderr, target_at};

/// Bytes behind which the first requests are on their way, whether there is TLS or SSH before them or not.
const EARLY: u64 = 3_000;
/// Bytes before the end: what a run sends differs by greetings of connections, of which it has as many as it comes to.
const LATE: u64 = 12_000;

/// Where there is harm: at the first words, in the middle of a chunk, where it goes to its end.
#[derive(Clone, Copy, Debug)]
enum At {
    Early,
    Middle,
    Late,
}

impl At {
    fn to_server(self, bytes: u64) -> u64 {
        match self {
            Self::Early => EARLY.min(bytes / 4),
            Self::Middle => bytes / 2,
            Self::Late => bytes - LATE.min(bytes / 2),
        }
    }

    /// Of little, most of it greetings.
    fn to_client(self, bytes: u64) -> u64 {
        match self {
            Self::Early => bytes / 5,
            Self::Middle => bytes / 3,
            Self::Late => bytes / 2,
        }
    }
}

const EVERYWHERE: &[At] = &[At::Early, At::Middle, At::Late];
/// Garbage in the head of a request may cost a server's patience, which is longer than that of a test. A line that is slow for a while has lost nothing.
const CASES: [(Harm, Direction, &[At]); 8] = [
    (Harm::Cut, Direction::ToServer, EVERYWHERE),
    (Harm::Cut, Direction::ToClient, EVERYWHERE),
    (Harm::Reset, Direction::ToServer, EVERYWHERE),
    (Harm::Reset, Direction::ToClient, EVERYWHERE),
    (Harm::Garbage, Direction::ToServer, &[At::Middle]),
    (Harm::Garbage, Direction::ToClient, EVERYWHERE),
    (Harm::Slow, Direction::ToServer, &[At::Middle]),
    (Harm::Slow, Direction::ToClient, EVERYWHERE),
];
/// What one fault may cost of them: the tries of a request.
const CONNECTIONS_MORE: usize = 7;

/// A server, and the section of a target there, below a folder of this name.
fn loops(server: u16, section: &dyn Fn(&Program, u16, &str) -> String) {
    let tree = Tree::new();
    tree.file("text", "some text\n".repeat(1000));
    tree.file("noise", noise(9, 2_500_000));
    tree.file("folder/small", "small");
    let wire = Faulty::before(server);
    let at = |name: &str| {
        let program = Program::new(&tree.root);
        program.set_target(&section(&program, wire.port(), name));
        program
    };
    let restore = |program: &Program, to: &Path| {
        let key = program.key.to_str().unwrap();
        program.run(&["restore", "tree:latest", "--from", "disk", "--to", to.to_str().unwrap(), "--key", key])
    };

    wire.arm(None);
    let program = at("clean");
    let output = program.backup();
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    let (backup, connections) = (wire.passed(), wire.connections());
    wire.arm(None);
    let output = restore(&program, &program.home().join("back"));
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    let restored = wire.passed();

    for (harm, direction, place) in CASES
        .into_iter()
        .flat_map(|(harm, direction, places)| places.iter().map(move |place| (harm, direction, *place)))
    {
        let case = format!("{harm:?} {direction:?} {place:?}");
        let of = |(to_server, to_client)| match direction {
            Direction::ToServer => place.to_server(to_server),
            Direction::ToClient => place.to_client(to_client),
        };
        let program = at(&case.replace(' ', "-"));
        wire.arm(Some((harm, direction, of(backup))));
        let output = program.backup();
        assert!(!wire.is_armed(), "{case}: it did not come to pass");
        assert!(wire.connections() <= connections + CONNECTIONS_MORE, "{case}: {} of them", wire.connections());
        wire.arm(None);
        let is_done = code(&output) == Some(0);
        assert!(is_done || harm != Harm::Slow, "{case}: {}", stderr(&output));
        assert!(is_done || stderr(&output).contains("brackup: error: "), "{case}: {}", stderr(&output));
        let again = program.backup();
        assert_eq!(code(&again), Some(0), "{case}: {}\n{}", stderr(&output), stderr(&again));
        let listed = String::from_utf8(program.run(&["list", "disk"]).stdout).unwrap();
        let count = listed.lines().filter(|line| line.contains("tree-2")).count();
        assert_eq!(count, 1 + usize::from(is_done), "{case}: {}\n{listed}", stderr(&output));
        let output = program.run(&["verify", "disk", "--no-key"]);
        assert_eq!(code(&output), Some(0), "{case}: {}", stderr(&output));

        wire.arm(Some((harm, direction, of(restored))));
        let to = program.home().join("back");
        let output = restore(&program, &to);
        assert!(!wire.is_armed(), "{case}: it did not come to pass");
        wire.arm(None);
        if code(&output) != Some(0) {
            assert!(stderr(&output).contains("brackup: "), "{case}: {}", stderr(&output));
            fs::remove_dir_all(&to).or_else(|error| if to.exists() { Err(error) } else { Ok(()) }).unwrap();
            let output = restore(&program, &to);
            assert_eq!(code(&output), Some(0), "{case}: {}", stderr(&output));
        }
        tree.snapshot().assert_same(&Snapshot::of(&to));
    }
}

#[cfg(feature = "s3")]
#[test]
fn s3_over_a_wire_with_faults() {
    use crate::support::{ACCESS_KEY, SECRET_KEY, Weed};
    let Some(weed) = Weed::start() else { return };
    weed.bucket("wire", "");
    loops(weed.port(), &|_, port, name| {
        format!(
            "type = S3\nbucket = wire\nbackup_prefix = {name}/\nendpoint = http://127.0.0.1:{port}\n\
             aws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {SECRET_KEY}\n"
        )
    });
}

#[cfg(feature = "webdav")]
#[test]
fn webdav_over_a_wire_with_faults() {
    use crate::support::{Dav, Kind, PASSWORD, USER};
    let Some(apache) = Dav::start(Kind::Apache) else { return };
    let pin = apache.certificates()[1].pin();
    loops(apache.tls_port(), &|_, port, name| {
        let login = format!("user = {USER}\npassword = {PASSWORD}\n");
        format!("type = WebDAV\nurl = https://127.0.0.1:{port}/basic/{name}/\ntls_pin = {pin}\n{login}")
    });
}

#[cfg(feature = "gdrive")]
#[test]
fn google_drive_over_a_wire_with_faults() {
    let Some(drive) = Drive::start() else { return };
    let (endpoint, certificate) = drive.tls_endpoint();
    let (_, server) = endpoint.rsplit_once(':').unwrap();
    loops(server.parse().unwrap(), &|program, port, name| {
        let keys = program.home().join("keys");
        fs::create_dir(&keys).unwrap();
        drive.login(&keys);
        let endpoint = format!("https://127.0.0.1:{port}");
        format!(
            "type = GoogleDrive\npath = {name}\nclient_id = {CLIENT_ID}\nclient_secret = {CLIENT_SECRET}\n\
             api_endpoint = {endpoint}\noauth_endpoint = {endpoint}\ntls_ca = {}\n",
            certificate.display()
        )
    });
}

#[test]
fn sftp_over_a_wire_with_faults() {
    let Some(server) = Sshd::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    loops(server.port(), &|_, port, name| target_at(&server.at_port(port, &folder.path().join(name))));
}

#[cfg(all(feature = "brackup", feature = "web"))]
#[test]
fn another_box_over_a_wire_with_faults() {
    use crate::support::{Doorway, quick_limits};
    let doorway = Doorway::with(quick_limits(), brackup::config::DoorTls::Own, None);
    let (port, pin) = (doorway.address().port(), doorway.pin().unwrap());
    let doorway = std::cell::RefCell::new(doorway);
    loops(port, &|_, port, name| {
        // Each is a host of its own.
        let mut doorway = doorway.borrow_mut();
        let path = doorway.folder.path().join(name);
        doorway.add(name, &path, None);
        doorway.change();
        let token = doorway.tokens.last().unwrap();
        format!("type = Brackup\nurl = https://127.0.0.1:{port}/\ntls_pin = {pin}\ntoken = {}\n", token.as_str())
    });
}
