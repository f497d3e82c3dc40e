//! What is secret is nowhere that anybody looks: the page, what programs ask, the log, `brackup status`.

use base64::Engine as _;
use brackup::digest::hex;
use nix::sys::signal::Signal;

use crate::serve::{add, small_tree};
use crate::serve_wishes::Box;
use crate::support::{Program, Scripted, answer, stderr};

const S3_SECRET: &str = "HushHushSecretAccessKeyOfTheBucket";
const DAV_PASSWORD: &str = "hush-hush-swordfish";
/// 32 bytes, as another box gives them out.
const TOKEN: &str = "HushHushHushHushHushHushHushHushHushHushHuA";
const HOOK: &str = "hush-hush-hook";

/// Servers that refuse, and repeat what they were sent, as some do on their pages of errors.
#[test]
fn what_is_secret_is_on_no_page_and_in_no_log() {
    let tree = small_tree();
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("nas:{DAV_PASSWORD}"));
    let refusing = |status: &str, body: &str| {
        Scripted::answering(&vec![answer(status, "WWW-Authenticate: Basic realm=\"x\"\r\n", body); 100])
    };
    let s3 = refusing("403 Forbidden", "<Error><Code>AccessDenied</Code><Message>not for you</Message></Error>");
    let echo = format!("no entry for Basic {basic}, which is nas and {DAV_PASSWORD}");
    let dav = refusing("401 Unauthorized", &echo);
    let other = refusing("401 Unauthorized", &format!("Bearer {TOKEN} is nobody"));
    let hook = refusing("500 Internal Server Error", "");
    let program = Program::new(&tree.root);
    add(
        &program,
        &format!(
            "[TARGET:cloud]\ntype = Amazon\nbucket = nas\nendpoint = {}\naws_access_key_id = AKHUSH\naws_secret_access_key = {S3_SECRET}\n\
             [TARGET:dav]\ntype = WebDAV\nurl = {}/nas/\nuser = nas\npassword = {DAV_PASSWORD}\n\
             [TARGET:other]\ntype = Brackup\nurl = {}/\ntoken = {TOKEN}\n\
             [ALERT:phone]\ntype = webhook\nurl = {}/{HOOK}\n",
            s3.endpoint(),
            dav.endpoint(),
            other.endpoint(),
            hook.endpoint(),
        ),
    );
    let job = "[JOB:nightly]\nfrom = tree\nto = cloud\nto = dav\nto = other\nat = 02:30\n";
    let nas = Box::new(program, job);
    let mut service = nas.serve();
    nas.wants("run");
    let mut seen = vec![service.says("alert phone")];
    for path in ["/", "/api/status", "/metrics"] {
        let asked = nas.ask(&format!("GET {path}"), "");
        assert_eq!(asked.status, 200, "{path}");
        seen.push(asked.text());
    }
    service.signal(Signal::SIGTERM);
    seen.push(service.end().1);
    for arguments in [
        &["status"][..],
        &["status", "--json"],
        &["log"],
        &["config", "check"],
        &["--from=tree", "--to=dav", "-vv", "--json"],
    ] {
        let output = nas.program.run(arguments);
        seen.push(String::from_utf8_lossy(&output.stdout).into_owned() + &stderr(&output));
    }
    let seen = seen.concat();
    assert!(
        seen.contains("cloud") && seen.contains("dav") && seen.contains("other") && seen.contains("phone"),
        "{seen}"
    );
    assert!(other.asked().iter().any(|head| head.contains(TOKEN)), "it was asked");
    assert!(!s3.asked().is_empty() && dav.asked().iter().any(|head| head.contains(&basic)), "they were asked");
    let hidden = ["hush-hush", "HushHush", &basic, &hex(DAV_PASSWORD.as_bytes()), nas.token.as_str()];
    for secret in hidden {
        let at = seen.find(secret).map(|at| &seen[at.saturating_sub(200)..at]);
        assert_eq!(at, None, "a secret was said");
    }
}
