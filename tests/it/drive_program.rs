//! The program with a target of Google Drive: its login, and everything that follows. Nothing that it says has a secret in it.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Output;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::support::drive::{Drive, HUSH, configure};
use crate::support::{Program, Snapshot, Tree, code, noise, stderr};

/// A program whose target is a folder of the fake, over TLS.
fn program(drive: &Drive, source: &Path) -> Program {
    let program = Program::new(source);
    let (endpoint, certificate) = drive.tls_endpoint();
    let raid = format!("[TARGET:raid]\ntype = Filesystem\npath = {}", program.folder.display());
    configure(&program, &endpoint, &format!("tls_ca = {}\n{raid}", certificate.display()));
    program
}

/// Runs it; says what was said, in which no secret is.
fn run(program: &Program, arguments: &[&str]) -> (Option<i32>, String) {
    let mut arguments = arguments.to_vec();
    arguments.push("-vv");
    let output = program.run(&arguments);
    (code(&output), said(&output))
}

fn said(output: &Output) -> String {
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), stderr(output));
    assert!(!said.contains(HUSH), "{said}");
    said
}

/// What the next logins are answered with until they are granted.
fn polls(drive: &Drive, answers: &[&str]) {
    drive.tell(json!({"op": "set", "polls": answers}));
}

#[test]
fn it_logs_in_backs_up_and_restores_on_a_new_machine() {
    let Some(drive) = Drive::start() else { return };
    let tree = Tree::new();
    tree.file("text", "some text\n".repeat(1000));
    tree.file("noise", noise(9, 3_000_000));
    let box_ = program(&drive, &tree.root);
    let (code, said) = run(&box_, &["--from=tree", "--to=disk"]);
    assert!(code == Some(1) && said.contains("hint: log in: brackup target login disk"), "{said}");

    // Google's statuses, and those of RFC 8628.
    polls(&drive, &["authorization_pending", "400 authorization_pending", "slow_down"]);
    let (code, said) = run(&box_, &["target", "login", "disk"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.starts_with("open https://www.google.com/device in any browser and enter the code GQVQ-JKEC\n"),
        "{said}"
    );
    let login = box_.home().join("keys/google-drive-disk.token");
    assert_eq!(fs::metadata(&login).unwrap().permissions().mode() & 0o777, 0o600);

    for arguments in [
        &["target", "check", "disk"][..],
        &["--from=tree", "--to=disk"],
        &["--from=tree", "--to=disk", "--json"],
        &["verify", "disk", "--no-key"],
        &["list", "disk"],
        &["config", "check"],
    ] {
        let (code, said) = run(&box_, arguments);
        assert_eq!(code, Some(0), "{arguments:?}: {said}");
        let fine = said.lines().filter(|line| line.starts_with("ok ")).count();
        if arguments[0] == "target" {
            assert!(fine == 7 && drive.at("Backups/nas").count() == 1, "only the id stays: {said}");
        }
    }
    // State is lost, the login is not.
    fs::remove_dir_all(box_.home().join("state")).unwrap();
    let (code, said) = run(&box_, &["--from=tree", "--to=disk"]);
    assert_eq!(code, Some(0), "{said}");

    // A new machine: the section, a login of its own, the secret key.
    let other = program(&drive, &tree.root);
    polls(&drive, &[]);
    assert_eq!(run(&other, &["target", "login", "disk"]).0, Some(0));
    let to = other.home().join("back");
    let arguments = ["restore", "tree:latest", "--from", "disk", "--to", to.to_str().unwrap(), "--key"];
    let (code, said) = run(&other, &[&arguments[..], &[box_.key.to_str().unwrap(), "--accept-unsigned"]].concat());
    assert_eq!(code, Some(0), "{said}");
    tree.snapshot().assert_same(&Snapshot::of(&to));

    // Somebody takes the login back.
    drive.tell(json!({"op": "revoke"}));
    let (code, said) = run(&box_, &["--from=tree", "--to=disk"]);
    assert!(
        code == Some(1) && said.contains("invalid_grant") && said.contains("log in again: brackup target login disk"),
        "{said}"
    );
}

#[test]
fn a_login_that_comes_to_nothing_is_told_and_keeps_nothing() {
    let Some(drive) = Drive::start() else { return };
    let program = program(&drive, Path::new("/"));
    let login = program.home().join("keys/google-drive-disk.token");
    let answer = |answer: Value| {
        drive.tell(json!({"op": "set", "device_answer": answer}));
    };
    for (polled, device, code, told) in [
        ("access_denied", json!({}), 1, "it was refused in the browser"),
        (
            "400 access_denied",
            json!({"verification_url": null, "verification_uri": "https://login.example"}),
            1,
            "open https://login.example ",
        ),
        ("expired_token", json!({}), 1, "the code was not entered in time"),
        ("authorization_pending", json!({"expires_in": 0}), 1, "the code was not entered in time"),
        ("granted", json!({"granted_scope": "openid"}), 1, "leave the tick at the files"),
        ("granted", json!({"user_code": "\u{1b}[2J"}), 1, "there is no code in the answer"),
        ("granted", json!({"user_code": null}), 1, "there is no code in the answer"),
        ("granted", json!({"verification_url": null}), 1, "there is no code in the answer"),
        ("401 invalid_client", json!({}), 1, "see `client_id` and `client_secret`"),
    ] {
        polls(&drive, &[polled]);
        answer(device);
        let (exit, said) = run(&program, &["target", "login", "disk"]);
        assert!(exit == Some(code) && said.contains(told), "{polled}: {said}");
        assert!(!login.exists());
    }
    answer(json!({}));
    polls(&drive, &[]);
    for (arguments, told) in [
        (["target", "login", "raid"], "nobody logs in at the target raid"),
        (["target", "login", "other"], "there is no target \"other\""),
        (["target", "check", "googledrive:Backups"], "a folder of Google Drive has no address"),
    ] {
        let (exit, said) = run(&program, &arguments);
        assert!(matches!(exit, Some(2 | 10)) && said.contains(told), "{said}");
    }
    let output = program.run(&["target", "login", "disk", "--json"]);
    said(&output);
    let lines: Vec<Value> = output.stdout.lines().map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
    let code = json!({"command": "target login", "address": "https://www.google.com/device", "code": "GQVQ-JKEC", "seconds": 1800});
    assert_eq!(lines, [code, json!({"command": "target login", "target": "disk", "login": login})]);
}

#[test]
fn a_signal_ends_the_waiting_for_a_login() {
    let Some(drive) = Drive::start() else { return };
    let program = program(&drive, Path::new("/"));
    polls(&drive, &["authorization_pending"; 1000]);
    let mut child = program.command(&["target", "login", "disk"]).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("GQVQ-JKEC"), "{line}");
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(code(&output), Some(130), "{}", said(&output));
    assert!(!program.home().join("keys/google-drive-disk.token").exists());
}
