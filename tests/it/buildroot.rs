//! The Buildroot tree: what can be told of it without a Buildroot, and with one, if `$BUILDROOT` names it.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write as _};
use std::process::Command;

use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::program::Ran;
use crate::support::{shipped, tool};

pub(crate) const PACKAGE: &str = "package/brackup/";
const OWN_PATH: &str = "$(BR2_EXTERNAL_BRACKUP_PATH)/";

/// All files, as paths below `buildroot`.
pub(crate) fn files() -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![shipped::top()];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path.strip_prefix(shipped::top()).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

pub(crate) fn named(end: &str) -> Vec<String> {
    files().into_iter().filter(|path| path.ends_with(end)).collect()
}

pub(crate) fn none(wrong: &[String]) {
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Says what this machine can't do. Of a test that passes nobody sees what goes through `eprintln`.
pub(crate) fn left_out(what: &str) {
    io::stderr().write_all(format!("left out: {what}\n").as_bytes()).unwrap();
}

/// The value of `key = value` in a section of Cargo.toml.
fn manifest(section: &str, key: &str) -> String {
    let all = fs::read_to_string(shipped::top().join("../Cargo.toml")).unwrap();
    let (_, section) = all.split_once(&format!("[{section}]\n")).unwrap();
    let section = section.split("\n[").next().unwrap();
    let line = section.lines().find_map(|line| line.strip_prefix(key)?.trim_start().strip_prefix('='));
    line.unwrap_or_else(|| panic!("Cargo.toml has no {key}")).trim().trim_matches('"').to_owned()
}

/// What `mk` says of a variable, with its continued lines.
fn variable(mk: &str, name: &str) -> String {
    let at = mk.find(&format!("\n{name} = ")).unwrap_or_else(|| panic!("no {name}"));
    let value = mk[at + 1..].split_once(" = ").unwrap().1.replace("\\\n", "");
    value.lines().next().unwrap().split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn files_are_in_form() {
    let mut wrong = Vec::new();
    for path in files() {
        let text = shipped::text(&path);
        if !text.ends_with('\n') || text.ends_with("\n\n") || text.contains("\n\n\n") {
            wrong.push(format!("{path}: lines that are empty, or one that does not end"));
        }
        let blanks = text.lines().enumerate().filter(|(_, line)| line.ends_with([' ', '\t']));
        wrong.extend(blanks.map(|(at, _)| format!("{path}:{}: blanks at the end", at + 1)));
    }
    none(&wrong);
}

#[test]
fn the_tree_is_one_that_buildroot_knows() {
    let description = shipped::text("external.desc");
    let lines: Vec<_> = description.lines().collect();
    let [name, what] = lines[..] else { panic!("{description}") };
    assert_eq!(name, "name: BRACKUP");
    assert!(what.strip_prefix("desc: ").unwrap().len() <= 40, "{what}");
    assert_eq!(shipped::text("Config.in"), "source \"$BR2_EXTERNAL_BRACKUP_PATH/package/brackup/Config.in\"\n");
    assert!(shipped::text("external.mk").contains("$(BR2_EXTERNAL_BRACKUP_PATH)/package/*/*.mk"));
}

#[test]
fn the_menu_is_in_form() {
    let menu = shipped::text("package/brackup/Config.in");
    let mut wrong = Vec::new();
    let mut is_help = false;
    for line in menu.lines() {
        is_help = line == "\thelp" || is_help && (line.is_empty() || line.starts_with('\t'));
        let fits = match line.strip_prefix('\t') {
            Some("help") | None => !line.starts_with(' '),
            Some(inside) if is_help => {
                inside.strip_prefix("  ").is_some_and(|text| text.len() <= 62 && !text.starts_with(' '))
            }
            Some(inside) => !inside.starts_with([' ', '\t']),
        };
        let names = line.strip_prefix("config ").is_none_or(|symbol| symbol.starts_with("BR2_PACKAGE_BRACKUP"));
        if !fits || !names {
            wrong.push(line.to_owned());
        }
    }
    none(&wrong);
    assert!(menu.contains(&format!("\n\t  {}\n", manifest("package", "repository"))), "where it comes from");
    let needs = format!("has to be {} or later", manifest("package", "rust-version"));
    assert!(menu.contains(&needs), "{needs}");
}

#[test]
fn the_makefile_says_what_the_manifest_says() {
    let mk = shipped::text("package/brackup/brackup.mk");
    let rule = "#".repeat(80);
    assert!(mk.starts_with(&format!("{rule}\n#\n# brackup\n#\n{rule}\n\n")), "its head");
    assert_eq!(variable(&mk, "BRACKUP_VERSION"), manifest("package", "version"));
    assert_eq!(variable(&mk, "BRACKUP_LICENSE").replace("or", "OR"), manifest("package", "license"));
    let profile = variable(&mk, "BRACKUP_CARGO_ENV");
    for (name, key) in [("OPT_LEVEL", "opt-level"), ("LTO", "lto"), ("CODEGEN_UNITS", "codegen-units")] {
        let wanted = format!("CARGO_PROFILE_RELEASE_{name}={}", manifest("profile.release", key));
        assert!(profile.split(' ').any(|set| set == wanted), "{profile} has no {wanted}");
    }
    let options = format!("--no-default-features --features {}", features().join(","));
    assert_eq!(variable(&mk, "BRACKUP_CARGO_BUILD_OPTS"), options);
    assert_eq!(variable(&mk, "BRACKUP_CARGO_INSTALL_OPTS"), options);
}

/// What a program from source has: no default feature is left out but those that a box has no use for.
fn features() -> Vec<String> {
    let unused = ["bench", "desk", "email", "manual", "mount", "original", "rebuild", "restore-test"];
    let defaults = manifest("features", "default");
    defaults.split('"').skip(1).step_by(2).filter(|name| !unused.contains(name)).map(str::to_owned).collect()
}

/// As much of OpenWrt's makefiles as tells what cargo is told: its own puts RUST_PKG_FEATURES, which may have commas or blanks, before the
/// second argument.
const OPENWRT: &[(&str, &str)] = &[
    ("rules.mk", "INCLUDE_DIR:=$(TOPDIR)/include\n"),
    ("include/package.mk", "define BuildPackage\ncompile:\n\t@echo '$$(Build/Compile)'\nendef\n"),
    (
        "feeds/packages/lang/rust/rust-package.mk",
        "define Build/Compile/Cargo\n\
         cargo install$(if $(RUST_PKG_FEATURES), --features \"$(RUST_PKG_FEATURES)\") --path \"./$(1)\" $(2)\nendef\n",
    ),
];

#[test]
fn the_feed_of_openwrt_builds_the_same() {
    if Command::new("make").arg("--version").output().is_err() {
        left_out("there is no make");
        return;
    }
    let place = TempDir::new().unwrap();
    for (path, text) in OPENWRT {
        let path = place.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let mut make = Command::new("make");
    make.args(["-s", "-C"]).arg(shipped::top().join("../dist/openwrt")).arg("compile").env_clear();
    make.arg(format!("TOPDIR={}", place.path().display())).env("PATH", "/usr/bin:/bin");
    let told = Ran::of(&make.output().unwrap()).is(0).out;
    let features = features().join(",");
    assert_eq!(told, format!("cargo install --features \"{features}\" --path \"./\" --no-default-features\n"));
}

#[test]
fn only_an_ext_is_checked_by_e2fsck() {
    let script = shipped::text("board/brackup/rootfs-overlay/etc/init.d/S30brackup-data");
    let (begin, end) = (script.find("\nis_ext() {").unwrap(), script.find("\nlaid() {").unwrap());
    // What e2fsck says of whatever it can't mend, and of a disk that is none of its own.
    let script = format!("{}\ne2fsck() {{ echo \"$@\" >&2; return 8; }}\nsound", &script[begin..end]);
    let place = TempDir::new().unwrap();
    let image = place.path().join("image");
    fs::write(&image, vec![0; 4 << 20]).unwrap();
    let sound =
        || Ran::of(&Command::new("busybox").args(["sh", "-c", &script]).env("device", &image).output().unwrap());
    assert_eq!(sound().is(0).err, "");
    for kind in ["ext2", "ext4"] {
        tool(&format!("mkfs.{kind}"), &["-q", "-F", image.to_str().unwrap()]);
        assert_eq!(sound().is(1).err, format!("-p {}\n", image.display()), "{kind}");
    }
}

#[test]
fn the_user_has_the_same_number_in_every_image() {
    let mk = shipped::text("package/brackup/brackup.mk");
    let (_, user) = mk.split_once("define BRACKUP_USERS\n").unwrap();
    let fields: Vec<_> = user.lines().next().unwrap().split_whitespace().collect();
    let ["brackup", uid, "brackup", gid, "*", ..] = fields[..] else { panic!("{fields:?}") };
    assert!([uid, gid].iter().all(|id| id.parse::<u32>().is_ok_and(|id| (100..1000).contains(&id))), "{fields:?}");
}

#[test]
fn the_makefile_uses_what_there_is() {
    let (mk, menu) = (shipped::text("package/brackup/brackup.mk"), shipped::text("package/brackup/Config.in"));
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut wrong = Vec::new();
    for symbol in mk.split(|c| !is_word(c)).filter(|word| word.starts_with("BR2_PACKAGE_BRACKUP")) {
        if !menu.contains(&format!("config {symbol}\n")) {
            wrong.push(format!("Config.in has no {symbol}"));
        }
    }
    for line in mk.lines().filter(|line| !line.starts_with(['#', '\t'])) {
        let name = line
            .strip_prefix("define ")
            .or_else(|| line.split_once([' ', '+', ':']).map(|(name, _)| name).filter(|_| line.contains("= ")));
        if let Some(name) = name.filter(|name| !name.starts_with("BRACKUP_") && !name.starts_with("brackup-")) {
            wrong.push(format!("{name} is not of this package"));
        }
        if line.contains("${") || line.starts_with("ifdef") {
            wrong.push(line.to_owned());
        }
    }
    for name in mk.split("$(BRACKUP_PKGDIR)/").skip(1).map(|rest| rest.split_whitespace().next().unwrap()) {
        if !shipped::top().join(PACKAGE).join(name).exists() {
            wrong.push(format!("there is no {name}"));
        }
    }
    for name in mk.split("$(@D)/").skip(1).map(|rest| rest.split_whitespace().next().unwrap()) {
        if !shipped::top().join("..").join(name).exists() {
            wrong.push(format!("the tree has no {name}"));
        }
    }
    none(&wrong);
}

#[test]
fn licences_are_those_that_were_hashed() {
    let hashes = shipped::text("package/brackup/brackup.hash");
    let mut named = Vec::new();
    for line in hashes.lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<_> = line.split("  ").collect();
        let ["sha256", hash, file] = fields[..] else { panic!("{line}") };
        let digest = Sha256::digest(fs::read(shipped::top().join("..").join(file)).unwrap());
        let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hash, digest, "{file}");
        named.push(file);
    }
    assert_eq!(variable(&shipped::text("package/brackup/brackup.mk"), "BRACKUP_LICENSE_FILES"), named.join(" "));
}

#[test]
fn configurations_are_in_form() {
    let mut wrong = Vec::new();
    let configs = named("_defconfig");
    assert!(configs.len() >= 4);
    for config in configs {
        let text = shipped::text(&config);
        let mut set = BTreeSet::new();
        for line in text.lines() {
            let (name, value) = match line.strip_prefix("# ") {
                Some(off) if off.starts_with("BR2_") => (off.strip_suffix(" is not set").unwrap_or_default(), "n"),
                Some(_) => continue,
                None => line.split_once('=').unwrap_or_default(),
            };
            let is_value =
                matches!(value, "y" | "n") || value.len() > 1 && value.starts_with('"') && value.ends_with('"');
            if !name.starts_with("BR2_") || !is_value || !set.insert((name, value)) {
                wrong.push(format!("{config}: {line}"));
            }
            let paths = value.trim_matches('"').split(' ').filter_map(|path| path.strip_prefix(OWN_PATH));
            wrong.extend(
                paths.filter(|path| !shipped::top().join(path).exists()).map(|path| format!("{config}: no {path}")),
            );
        }
        let has = |name: &str| set.contains(&(name, "y"));
        for name in ["BR2_DOWNLOAD_FORCE_CHECK_HASHES", "BR2_PACKAGE_BRACKUP", "BR2_TARGET_ROOTFS_SQUASHFS"] {
            if !has(name) {
                wrong.push(format!("{config}: without {name}"));
            }
        }
        if !set.contains(&("BR2_TARGET_GENERIC_REMOUNT_ROOTFS_RW", "n")) {
            wrong.push(format!("{config}: its root can be written to"));
        }
        let is_small = ["BR2_arm", "BR2_mips", "BR2_mipsel"].into_iter().any(has);
        if has("BR2_PACKAGE_BRACKUP_CARGO") == has("BR2_PACKAGE_BRACKUP_PREBUILT") {
            wrong.push(format!("{config}: says not where the program comes from"));
        }
        if has("BR2_PACKAGE_BRACKUP_CARGO") && is_small {
            wrong.push(format!("{config}: ends in 2038"));
        }
        let has_rust = !has("BR2_TOOLCHAIN_BUILDROOT_MUSL") || has("BR2_TOOLCHAIN_BUILDROOT_CXX");
        if has("BR2_PACKAGE_BRACKUP_CARGO") && !has_rust {
            wrong.push(format!("{config}: Buildroot has no Rust for musl without C++"));
        }
    }
    none(&wrong);
}

#[test]
fn a_tree_that_is_not_there_is_what_is_complained_of() {
    let ran =
        Ran::of(&Command::new(shipped::top().join("check")).env("BUILDROOT", "/nonexistent").output().unwrap()).is(1);
    assert!(ran.err.contains("there is no Buildroot tree in /nonexistent"), "{}", ran.err);
}

#[test]
fn a_buildroot_takes_it() {
    if std::env::var_os("BUILDROOT").is_none() {
        left_out("BUILDROOT names no Buildroot tree");
        return;
    }
    Ran::of(&Command::new(shipped::top().join("check")).output().unwrap()).is(0);
}
