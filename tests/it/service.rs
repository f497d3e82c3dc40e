//! The service as packages ship it: the scripts, the settings, the unit, the configuration.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use crate::buildroot::{PACKAGE, files, named, none};
use crate::program::{TestBox, serves};
use crate::support::shipped;

/// Scripts of /etc/init.d, by their names.
fn init_scripts() -> Vec<String> {
    let is_one = |path: &String| {
        path.rsplit('/').next().is_some_and(|name| name.starts_with(['S']) && name[1..3].parse::<u8>().is_ok())
    };
    files().into_iter().filter(is_one).collect()
}

#[test]
fn scripts_are_scripts() {
    let scripts = init_scripts();
    assert_eq!(scripts.len(), 2, "{scripts:?}");
    let mut wrong = Vec::new();
    for path in scripts.iter().cloned().chain(named("post-image.sh")).chain(["check".into()]) {
        let file = shipped::top().join(&path);
        let text = shipped::text(&path);
        // brackup.mk installs it as a program; the others are taken as they are.
        let is_program = fs::metadata(&file).unwrap().permissions().mode() & 0o111 != 0;
        if is_program == path.starts_with(PACKAGE) {
            wrong.push(format!("{path}: its mode"));
        }
        if scripts.contains(&path) {
            let name = path.rsplit('/').next().unwrap();
            if !text.contains(&format!("\nDAEMON=\"{}\"\n", &name[3..]))
                || text.contains("\n ")
                || !text.starts_with("#!/bin/sh\n")
            {
                wrong.push(format!("{path}: not in Buildroot's form"));
            }
        }
        let shell = text.lines().next().unwrap().trim_start_matches("#!");
        let read = Command::new(shell).arg("-n").arg(&file).output().unwrap();
        wrong.extend((!read.status.success()).then(|| format!("{path}: {}", String::from_utf8_lossy(&read.stderr))));
        let checked = Command::new("shellcheck").arg(&file).output().expect("shellcheck: tests/setup installs it");
        wrong.extend((!checked.status.success()).then(|| String::from_utf8_lossy(&checked.stdout).into_owned()));
    }
    none(&wrong);
}

#[test]
fn settings_that_are_shown_are_the_defaults() {
    let script = shipped::text("package/brackup/S99brackup");
    let settings = shipped::text("package/brackup/brackup.default");
    let mut count = 0;
    for line in settings.lines().filter_map(|line| line.strip_prefix("#BRACKUP_")) {
        assert!(script.contains(&format!("\nBRACKUP_{line}\n")), "BRACKUP_{line}");
        count += 1;
    }
    let used: BTreeSet<_> =
        script.lines().filter(|line| line.starts_with("BRACKUP_")).map(|line| line.split('=').next()).collect();
    assert_eq!(used.len(), count + 1, "each but BRACKUP_DATA is shown, {used:?}");
    assert!(settings.contains("\nBRACKUP_DATA=\"/mnt/data\"\n"));
}

#[test]
fn the_unit_is_closed_in() {
    let unit = shipped::text("package/brackup/brackup.service");
    let lines: Vec<_> = unit.lines().collect();
    for line in [
        "User=brackup",
        "CapabilityBoundingSet=CAP_DAC_READ_SEARCH",
        "AmbientCapabilities=CAP_DAC_READ_SEARCH",
        "NoNewPrivileges=yes",
        "ProtectSystem=full",
        "ReadWritePaths=-/etc/brackup/keys",
        "Nice=19",
        "IOSchedulingClass=idle",
        "OOMScoreAdjust=500",
        "#MemoryMax=24M",
        "TimeoutStopSec=30",
        "LimitCORE=0",
        "SystemCallFilter=~@clock",
        "StartLimitIntervalSec=0",
        "RequiresMountsFor=/mnt/data",
        "ExecStartPre=/usr/bin/brackup config check --config /etc/brackup/brackup.conf",
        "ExecStart=/usr/bin/brackup serve --config /etc/brackup/brackup.conf",
        "ExecReload=/bin/kill -HUP $MAINPID",
        "WantedBy=multi-user.target",
    ] {
        assert!(lines.contains(&line), "{line}");
    }
    // It closes devices too, with systemd before 253, and there are images of block devices.
    assert!(!unit.contains("\nProtectClock=") && !unit.contains("\nDeviceAllow="));
    let is_line = |line: &&&str| {
        line.is_empty()
            || line.starts_with(['#', '['])
            || line.split_once('=').is_some_and(|(key, _)| key.chars().all(char::is_alphanumeric))
    };
    assert_eq!(lines.iter().filter(is_line).count(), lines.len());
}

#[test]
fn the_configuration_that_is_shipped_works() {
    let as_shipped = shipped::text("package/brackup/brackup.conf");
    let test = TestBox::new();
    test.configure(&as_shipped);
    let told = test.brackup(["config", "check"]).is(0);
    // Where tests are made may be in memory.
    assert!(
        told.err.lines().all(|line| line.starts_with("brackup: warning: ") && line.contains(" in memory, ")),
        "{}",
        told.err
    );
    assert!(!told.out.contains("SOURCE"), "nothing is backed up unasked: {}", told.out);

    // What it shows as an example works too, once a key is filled in.
    let key = test.path("secret.key");
    let made = test.brackup(["keygen", "--json", "--out", key.to_str().unwrap()]).is(0);
    let example = as_shipped.replace("brackup1…", made.json()["public_key"].as_str().unwrap());
    // Prose has a blank behind its `#`.
    let shown =
        |line: &str| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line).to_owned() + "\n";
    let mut example: String = example.lines().map(shown).collect();
    if !serves() {
        example.truncate(example.find("[JOB:").unwrap());
    }
    test.configure(&example);
    let told = test.brackup(["config", "check"]).is(0);
    assert!(told.out.contains("[SOURCE:home]") && told.out.contains("[TARGET:usb]"), "{}", told.out);
}
