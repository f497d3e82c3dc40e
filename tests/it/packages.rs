//! Packages for boxes, dist/: what they hold, that they are refused for another CPU, and, for root, that one is installed, used, upgraded and
//! purged in a copy of this machine. The tests are in Python, as the packagers are: dist/test.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::Command;

#[test]
fn scripts_tell_how_they_are_used() {
    for script in ["cross/build", "cross/setup", "dist/deb", "dist/ipk", "dist/qdk", "dist/spk", "tests/run"] {
        let output = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join(script)).arg("--help").output().unwrap();
        let out = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && out.starts_with(&format!("usage: {script}")), "{script}: {output:?}");
    }
}

#[test]
fn packages_are_what_they_should_be() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("dist/test");
    let output = Command::new(&script).env("BRACKUP_BINARY", env!("CARGO_BIN_EXE_brackup")).output();
    let output = output.unwrap_or_else(|error| panic!("{}: {error}", script.display()));
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}{err}");
    // What this machine can't do is said, as unittest and the tests say it. Of a test that passes nobody sees what goes through `eprintln`.
    for line in out.lines().chain(err.lines()).filter(|line| line.contains("LEFT OUT")) {
        io::stderr().write_all(format!("{line}\n").as_bytes()).unwrap();
    }
}
