//! Linux 3.2, and disks without hard links: tests/old-kernel/launcher.c answers as they do. tests/old-kernel/run runs everything so; what
//! stands here is what other tests can't do where there are no links.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use crate::program::{Ran, TestBox};
use crate::support::{Snapshot, noise};

/// The launcher, built once.
fn launcher() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let launcher = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("launcher-{}", std::process::id()));
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/old-kernel/launcher.c");
        let built = Command::new("cc").arg("-o").arg(&launcher).arg(source).output().unwrap();
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        launcher
    })
}

/// What a command says as on an old kernel, and on a disk like this.
fn launch(command: &Command, disk: &[&str]) -> Output {
    let mut launched = Command::new(launcher());
    launched.args(disk).arg(command.get_program()).args(command.get_args()).env_clear();
    launched.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    launched.current_dir(command.get_current_dir().unwrap_or_else(|| Path::new("/"))).output().unwrap()
}

fn python(script: &str, disk: &[&str]) -> String {
    let mut command = Command::new("python3");
    let output = launch(command.args(["-c", script]), disk);
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn the_launcher_is_an_old_kernel() {
    let errno = |call: &str, disk: &[&str]| {
        let script = format!("import os\ntry:\n {call}\n print(0)\nexcept OSError as e:\n print(e.errno)");
        python(&script, disk)
    };
    let (link, data) = ("os.link('/nowhere', '/nowhere either')", "os.lseek(os.open('/etc/passwd', 0), 0, 3)");
    for (call, disk, is) in [
        ("os.memfd_create('x')", &[][..], "38"),
        ("os.copy_file_range(0, 1, 1)", &[], "38"),
        ("os.open('/tmp', os.O_TMPFILE | os.O_RDWR)", &[], "21"),
        (link, &[], "2"),
        (link, &["-l"], "1"),
        (data, &[], "0"),
        (data, &["-s"], "22"),
    ] {
        assert_eq!(errno(call, disk), is, "{call} {disk:?}");
    }
}

#[test]
fn a_disk_without_links_and_holes_that_can_be_seen() {
    let disk = ["-l", "-s"];
    let test_box = TestBox::ready("auto");
    let run = |arguments: &[&str]| {
        let mut command = test_box.command();
        Ran::of(&launch(command.args(arguments), &disk))
    };
    let tree = test_box.path("tree");
    fs::create_dir_all(tree.join("folder")).unwrap();
    fs::write(tree.join("folder/noise"), noise(7, 3_000_000)).unwrap();
    let sparse = fs::File::create(tree.join("sparse")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"data", 5_000_000).unwrap();
    sparse.set_len(9_000_000).unwrap();
    nix::unistd::mkfifo(&tree.join("fifo"), nix::sys::stat::Mode::S_IRUSR).unwrap();
    std::os::unix::fs::symlink("nowhere", tree.join("link")).unwrap();

    let key = test_box.path("another.key");
    run(&["keygen", "--out", key.to_str().unwrap()]).is(0);
    let made = fs::read(&key).unwrap();
    run(&["keygen", "--out", key.to_str().unwrap()]).is(1);
    assert_eq!(fs::read(&key).unwrap(), made, "a secret key is never overwritten");

    run(&["--from=tree", "--to=store"]).is(0);
    fs::write(tree.join("folder/new"), "new").unwrap();
    run(&["--from=tree", "--to=store"]).is(0);
    run(&["verify", "store"]).is(0);
    let names = fs::read_dir(test_box.path("store")).unwrap().map(|entry| entry.unwrap().file_name());
    let names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
    assert_eq!(names.iter().filter(|name| name.ends_with(".meta")).count(), 2, "{names:?}");
    assert!(!names.iter().any(|name| name.ends_with(".partial")), "{names:?}");

    let (restored, opening) = (test_box.path("restored"), test_box.opening());
    let mut words = vec!["restore", "tree:latest", "--to", restored.to_str().unwrap()];
    words.extend(opening.iter().map(String::as_str));
    run(&words).is(0);
    Snapshot::of(&tree).assert_same(&Snapshot::of(&restored));
}
