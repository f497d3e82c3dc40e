//! rclone with the fake of Google Drive, as if that were Google: what a real client does is allowed there, and what either of us stores the other reads.

use std::fs;
use std::path::Path;
use std::process::Command;

use brackup::digest::Sha1;
use brackup::target::{ObjectName, Target as _};
use serde_json::json;
use tempfile::TempDir;

use super::conformance::{chunk_name, listed, meta_name, object, read};
use crate::support::drive::{CLIENT_ID, CLIENT_SECRET, Drive, venv};
use crate::support::{noise, servers};

/// Longer than what rclone sends in one piece, and several of its own pieces.
const LARGE_BYTES: usize = 9_000_000;

struct Rclone<'d> {
    drive: &'d Drive,
    token: String,
    home: TempDir,
}

impl Rclone<'_> {
    fn run(&self, arguments: &[&str]) -> String {
        let (_, certificate) = self.drive.tls_endpoint();
        let output = Command::new(venv("bin/rclone"))
            .args(arguments)
            .args(["--config", "/dev/null", "--retries", "1", "--ca-cert", certificate.to_str().unwrap()])
            .args(["--drive-upload-cutoff", "1M", "--drive-chunk-size", "2M", "--drive-pacer-min-sleep", "1ms"])
            .env_clear()
            .env("HOME", self.home.path())
            .env("HTTPS_PROXY", self.drive.proxy())
            .env("RCLONE_DRIVE_SCOPE", "drive.file")
            .env("RCLONE_DRIVE_CLIENT_ID", CLIENT_ID)
            .env("RCLONE_DRIVE_CLIENT_SECRET", CLIENT_SECRET)
            .env("RCLONE_DRIVE_TOKEN", &self.token)
            .output()
            .unwrap();
        let end = || self.drive.tell(json!({"op": "end"}));
        assert!(output.status.success(), "{arguments:?}: {} {}", String::from_utf8_lossy(&output.stderr), end());
        String::from_utf8(output.stdout).unwrap()
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn rclone_works_with_the_fake_and_reads_what_is_stored() {
    let Some(drive) = Drive::start() else { return };
    if !servers::is_there(&venv("bin/rclone"), "rclone") {
        return;
    }
    let granted = drive.tell(json!({"op": "grant"}));
    // It has ended: rclone asks for another one first.
    let token = json!({"access_token": "ended", "refresh_token": granted["refresh"], "token_type": "Bearer", "expiry": "2020-01-01T00:00:00Z"});
    let rclone = Rclone { drive: &drive, token: token.to_string(), home: TempDir::new().unwrap() };

    // By itself: there, looked at, back, away.
    let (up, back) = (rclone.home.path().join("up"), rclone.home.path().join("back"));
    fs::create_dir_all(up.join("below it's")).unwrap();
    fs::write(up.join("small"), noise(1, 1000)).unwrap();
    fs::write(up.join("below it's/large"), noise(2, LARGE_BYTES)).unwrap();
    rclone.run(&["copy", text(&up), ":drive:up"]);
    let names = rclone.run(&["lsf", "-R", ":drive:up"]);
    let mut names: Vec<_> = names.lines().collect();
    names.sort_unstable();
    assert_eq!(names, ["below it's/", "below it's/large", "small"]);
    rclone.run(&["check", "--download", text(&up), ":drive:up"]);
    rclone.run(&["check", text(&up), ":drive:up"]);
    rclone.run(&["copy", ":drive:up", text(&back)]);
    assert!(fs::read(back.join("below it's/large")).unwrap() == noise(2, LARGE_BYTES));
    rclone.run(&["delete", "--drive-use-trash=false", ":drive:up/small"]);
    rclone.run(&["delete", ":drive:up/below it's"]);
    assert_eq!(rclone.run(&["lsf", "-R", "--files-only", ":drive:up"]), "");

    // What we store it reads, and we what it stores.
    let target = drive.target(&drive.endpoint(), "Backups/nas", &rclone.home);
    target.identify(None).unwrap();
    for length in [10, 3_000_000] {
        let finished = object(&target, length);
        target.put(&chunk_name(&finished), finished).unwrap();
    }
    target.put(&meta_name(0), object(&target, 100)).unwrap();
    let copy = rclone.home.path().join("copy");
    rclone.run(&["copy", ":drive:Backups/nas", text(&copy)]);
    let objects = listed(&target);
    assert_eq!((objects.len(), fs::read_dir(&copy).unwrap().count()), (3, 4), "and the id");
    for (name, length) in &objects {
        let bytes = fs::read(copy.join(name.to_string())).unwrap();
        assert!(bytes == read(&target, name, 0, *length) && bytes.len() as u64 == *length, "{name}");
    }
    rclone.run(&["copy", text(&copy), ":drive:Backups/other"]);
    let other = drive.target(&drive.endpoint(), "Backups/other", &rclone.home);
    assert_eq!(other.identify(None).unwrap(), target.identify(None).unwrap());
    assert_eq!(listed(&other), objects);
    for (name, length) in objects {
        let bytes = read(&other, &name, 0, length);
        assert!(bytes == fs::read(copy.join(name.to_string())).unwrap());
        assert!(!name.tells_contents() || ObjectName::Chunk(Sha1::of(&bytes)) == name);
    }
}

#[test]
fn what_google_does_not_describe_fails() {
    let Some(drive) = Drive::start() else { return };
    let access = drive.tell(json!({"op": "grant"}));
    let bearer = format!("Authorization: Bearer {}\r\n", access["access"].as_str().unwrap());
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let upload = "POST /upload/drive/v3/files?uploadType=resumable";
    let wrong = [
        ("GET /drive/v3/filez", &*bearer, "", "no method is GET /drive/v3/filez"),
        ("OPTIONS /drive/v3/files", &bearer, "", "no method is OPTIONS"),
        ("GET /drive/v3/files?pagesize=10", &bearer, "", "has no parameter pagesize"),
        ("GET /drive/v3/files?pageSize=ten", &bearer, "", "pageSize=ten is not of type"),
        ("GET /drive/v3/files?pageSize=1001", &bearer, "", "pageSize=1001 is not of type"),
        ("GET /drive/v3/files?prettyPrint=maybe", &bearer, "", "prettyPrint=maybe is not of type"),
        ("GET /drive/v3/files?alt=xml", &bearer, "", "alt=xml is not of type"),
        ("GET /drive/v3/files?corpus=user", &bearer, "", "corpus is deprecated"),
        ("GET /drive/v3/files?fields=files(id,nome)", &bearer, "", "no field nome"),
        ("GET /drive/v3/files?q=nome%3D%27x%27", &bearer, "", "q has nome = 'x'"),
        ("GET /drive/v3/files?q=name%3D%27it%27s%27", &bearer, "", "q=name='it's'"),
        ("GET /drive/v3/files?orderBy=age", &bearer, "", "orderBy=age"),
        ("POST /drive/v3/files", &bearer, "{\"nam\":\"x\"}", "has no property nam"),
        ("POST /drive/v3/files", &bearer, "{\"name\":7}", "File.name is no string: 7"),
        ("POST /drive/v3/files", &bearer, "{\"parents\":\"root\"}", "File.parents is no array"),
        ("DELETE /drive/v3/files/1", &bearer, "{\"name\":\"x\"}", "takes no body"),
        (upload, &bearer, "{\"name\":\"x\"}", "is no JSON"),
        ("POST /token", form, "grant_type=refresh_token", "/token has ['grant_type']"),
        ("POST /device/code", form, "client_id=1&scope=everything", "scope=everything"),
        ("POST /device/code", &format!("{form}{bearer}"), "client_id=1&scope=x", "said to the server of logins"),
    ];
    for (asked, lines, body, told) in wrong {
        let answer = drive.ask(asked, lines, body);
        assert!(answer.starts_with("HTTP/1.1 400 "), "{asked}: {answer}");
        let end = drive.tell(json!({"op": "end"}))["violations"].to_string();
        assert!(end.contains(told), "{asked}: {end}");
        drive.tell(json!({"op": "set", "violations": []}));
    }
    // Without what is asked for nothing but what Google gives unasked is told.
    let answer = drive.ask("POST /drive/v3/files", &bearer, "{\"name\":\"x\"}");
    assert!(answer.contains("\"mimeType\"") && !answer.contains("\"parents\""), "{answer}");
}
