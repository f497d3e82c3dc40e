//! The owner's page in a real browser, through a whole backup: log in, start, watch, see it end, see a failure.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use brackup::digest::hex;
use brackup::provider::Token;
use serde_json::json;

use crate::serve::{NIGHTLY, add, has_ended_well, small_tree};
use crate::support::{Browser, Program, Service, free_port, noise};

const PASSWORD: &str = "correct horse battery";

fn has_no_barriers(browser: &Browser, what: &str) {
    for (width, height, form) in [(360, 740, "phone"), (1280, 900, "desk")] {
        for scheme in ["light", "dark"] {
            browser.looks_like(width, height, scheme);
            let barriers = browser.barriers();
            assert!(barriers.is_empty(), "{what}, {form}, {scheme}: {barriers:#?}");
            let picture = browser.picture(&format!("{what}-{form}-{scheme}"));
            assert!(picture.len() > 4000, "something is to be seen");
            let is_wider = browser.run("return document.documentElement.scrollWidth > window.innerWidth");
            assert_eq!(is_wider, false, "{what}, {form}: nobody scrolls sideways");
        }
    }
}

fn set_password(program: &Program) {
    let mut set = program.command(&["serve", "--set-password"]).stdin(Stdio::piped()).spawn().unwrap();
    writeln!(set.stdin.take().unwrap(), "{PASSWORD}").unwrap();
    assert!(set.wait().unwrap().success());
}

#[test]
fn an_owner_sees_his_backup_through() {
    let Some(browser) = Browser::start() else { return };
    let tree = small_tree();
    let program = Program::new(&tree.root);
    let port = free_port();
    // The box stores at its own door, over a line so slow that a person sees it go on.
    let (token, folder) = (Token::generate().unwrap(), program.home().join("host"));
    program.set_target(&format!(
        "type = Brackup\nurl = http://127.0.0.1:{port}/\ntoken = {}\nbandwidth = 200KB/s",
        token.as_str()
    ));
    let host = format!("[HOST:itself]\npath = {}\ntoken_sha256 = {}\n", folder.display(), hex(&token.sha256()));
    add(&program, &format!("{NIGHTLY}[SERVE]\nlisten = 127.0.0.1:{port}\ntls = no\n{host}"));
    fs::set_permissions(program.home().join(".brackup.conf"), fs::Permissions::from_mode(0o600)).unwrap();
    set_password(&program);
    let mut service = Service::start(program.command(&["serve"]));
    service.says("job nightly: tree to disk: done");
    service.says("waiting: next is job nightly");

    // Who is not logged in sees a question and nothing else.
    let home = format!("http://127.0.0.1:{port}/");
    browser.go(&home);
    browser.wait_for("a question", |text| text.contains("Who are you?") && !text.contains("disk"));
    has_no_barriers(&browser, "login");
    assert_eq!(browser.complaints(), Vec::<String>::new());
    browser.type_into("Password", "wrong password");
    browser.press("Log in");
    browser.wait_for("a refusal", |text| text.contains("That is not the password."));
    // Of the status, and of nothing else.
    assert!(browser.complaints().iter().all(|complaint| complaint.contains("403")));
    browser.type_into("Password", PASSWORD);
    browser.press("Log in");
    browser.wait_for("all of it", |text| text.contains("Your data is safe.") && text.contains("30 nights: 1 good"));
    has_no_barriers(&browser, "safe");

    // A backup, from the button to its end, and the page follows by itself.
    (0..4).for_each(|film| fs::write(tree.root.join(format!("film-{film}")), noise(film, 1_200_000)).unwrap());
    browser.press("Back up now");
    browser.wait_for("that it runs", |text| text.contains("Backing up tree to disk"));
    let far = || browser.run("return document.getElementById('far')?.textContent ?? ''").as_str().unwrap().to_owned();
    let first = far();
    browser.wait_for("that it goes on", |_| far() != first);
    // Whoever was about to press one button does not find himself at another when the run ends.
    let buttons = "window.buttons = ['stop', 'pause'].map(id => document.querySelector('#' + id + ' button'));";
    browser.run(&format!("{buttons} window.buttons[1].focus()"));
    has_no_barriers(&browser, "running");
    browser.wait_for("its end", |text| text.contains("Nothing is running") && text.contains("Versions kept\n2"));
    let are = "return [document.activeElement === window.buttons[1], window.buttons[0].isConnected]";
    assert_eq!(browser.run(are), json!([true, false]));
    service.says("job nightly: tree to disk: done");

    // What is stored is whole, as far as it was looked at.
    browser.press("Verify now");
    browser.wait_for("what came of it", |text| text.contains("a moment ago: all good"));

    // One that fails says so, and what to do.
    fs::rename(&folder, program.home().join("unplugged")).unwrap();
    browser.press("Back up now");
    browser.wait_for("the failure", |text| text.contains("The last try failed") && text.contains("plugged in"));
    has_no_barriers(&browser, "failed");
    fs::rename(program.home().join("unplugged"), &folder).unwrap();

    // By the keyboard alone: the first thing that Tab comes to can be seen to have it.
    browser.press("Pause for an hour");
    browser.wait_for("the pause", |text| text.contains("Paused until") && text.contains("Go on"));
    browser.press("Go on");
    browser.wait_for("its end", |text| !text.contains("Paused until"));
    assert_eq!(browser.complaints(), Vec::<String>::new());

    // Without scripts it is the same page.
    browser.runs_scripts(false);
    browser.go(&home);
    browser.runs_scripts(true);
    browser.wait_for("the page", |text| text.contains("tree") && text.contains("Back up now"));
    has_ended_well(service);
}
