//! A real browser, without a window: Debian's Chromium, driven by its ChromeDriver as the W3C's WebDriver says.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::ports::free_port;
use super::servers::is_there;

const DRIVER: &str = "/usr/bin/chromedriver";
const PATIENCE: Duration = Duration::from_secs(60);
/// As a test by machine needs it, and without a word to the net.
const OPTIONS: [&str; 10] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
];

pub(crate) struct Browser {
    driver: Child,
    port: u16,
    session: String,
    _profile: TempDir,
}

impl Browser {
    /// Nothing where there is none.
    pub(crate) fn start() -> Option<Self> {
        if !is_there(Path::new(DRIVER), "Chromium's driver") || !axe().exists() {
            return None;
        }
        let (profile, port) = (TempDir::new().unwrap(), free_port());
        let mut command = Command::new(DRIVER);
        command.arg(format!("--port={port}")).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let driver = command.env("HOME", profile.path()).spawn().unwrap();
        let mut new = Self { driver, port, session: String::new(), _profile: profile };
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(began.elapsed() < PATIENCE, "the driver does not start");
            std::thread::sleep(Duration::from_millis(50));
        }
        let profile = format!("--user-data-dir={}", new._profile.path().join("profile").display());
        let options: Vec<_> = OPTIONS.into_iter().chain([profile.as_str()]).collect();
        let wanted = json!({ "browserName": "chrome", "goog:chromeOptions": { "args": options }, "goog:loggingPrefs": { "browser": "ALL" } });
        let made = new.ask("POST", "", json!({ "capabilities": { "alwaysMatch": wanted } }));
        new.session = format!("/{}", made["sessionId"].as_str().unwrap());
        Some(new)
    }

    #[track_caller]
    fn ask(&self, method: &str, path: &str, body: Value) -> Value {
        self.try_ask(method, path, body).unwrap_or_else(|refusal| panic!("{path}: {refusal}"))
    }

    /// What is answered, or why it is refused.
    fn try_ask(&self, method: &str, path: &str, body: Value) -> Result<Value, Value> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let body = if method == "POST" { body.to_string() } else { String::new() };
        let (session, length) = (&self.session, body.len());
        write!(
            stream,
            "{method} /session{session}{path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        // It closes no connection: the answer ends where it says.
        let mut answer = BufReader::new(stream);
        let line = |answer: &mut BufReader<TcpStream>| {
            let mut line = String::new();
            answer.read_line(&mut line).unwrap();
            line.trim_end().to_ascii_lowercase()
        };
        let (status, mut length) = (line(&mut answer), 0);
        loop {
            let line = line(&mut answer);
            match line.strip_prefix("content-length:") {
                Some(value) => length = value.trim().parse().unwrap(),
                None if line.is_empty() => break,
                None => {}
            }
        }
        let mut body = vec![0; length];
        answer.read_exact(&mut body).unwrap();
        let mut value: Value = serde_json::from_slice(&body).unwrap();
        let value = value["value"].take();
        if status.contains(" 200 ") { Ok(value) } else { Err(value) }
    }

    pub(crate) fn go(&self, url: &str) {
        self.ask("POST", "/url", json!({ "url": url }));
    }

    /// What a script returns.
    pub(crate) fn run(&self, script: &str) -> Value {
        self.ask("POST", "/execute/sync", json!({ "script": script, "args": [] }))
    }

    /// The text of the page that can be seen.
    pub(crate) fn text(&self) -> String {
        self.run("return document.body.innerText").as_str().unwrap_or_default().to_owned()
    }

    #[track_caller]
    pub(crate) fn wait_for(&self, what: &str, mut holds: impl FnMut(&str) -> bool) {
        let began = Instant::now();
        loop {
            let text = self.text();
            if holds(&text) {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{what} is not to be seen: {text}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn find(&self, xpath: &str) -> Result<String, Value> {
        let found = self.try_ask("POST", "/element", json!({ "using": "xpath", "value": xpath }))?;
        Ok(found.as_object().unwrap().values().next().unwrap().as_str().unwrap().to_owned())
    }

    /// Presses the button with this text. One that has gone or moved since it was seen is looked for again, as people do.
    #[track_caller]
    pub(crate) fn press(&self, text: &str) {
        let began = Instant::now();
        let button = format!("//button[normalize-space()='{text}']");
        let press = || self.try_ask("POST", &format!("/element/{}/click", self.find(&button)?), json!({}));
        while let Err(refusal) = press() {
            assert!(began.elapsed() < PATIENCE, "{text} can't be pressed: {refusal}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Types into the field with this label.
    pub(crate) fn type_into(&self, label: &str, text: &str) {
        let field = self.find(&format!("//input[@id=//label[normalize-space()='{label}']/@for]")).unwrap();
        self.ask("POST", &format!("/element/{field}/value"), json!({ "text": text }));
    }

    /// As on a telephone or a desk, by day or by night.
    pub(crate) fn looks_like(&self, width: u32, height: u32, scheme: &str) {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500 });
        self.devtools("Emulation.setDeviceMetricsOverride", metrics);
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.devtools("Emulation.setEmulatedMedia", features);
    }

    /// Whether scripts run on the pages to come.
    pub(crate) fn runs_scripts(&self, runs: bool) {
        self.devtools("Emulation.setScriptExecutionDisabled", json!({ "value": !runs }));
    }

    fn devtools(&self, command: &str, parameters: Value) {
        self.ask("POST", "/goog/cdp/execute", json!({ "cmd": command, "params": parameters }));
    }

    /// A picture of the page, kept for people beside the other files of tests.
    pub(crate) fn picture(&self, name: &str) -> Vec<u8> {
        use base64::Engine as _;
        let picture = self.ask("GET", "/screenshot", Value::Null);
        let bytes = base64::engine::general_purpose::STANDARD.decode(picture.as_str().unwrap()).unwrap();
        std::fs::write(Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("page-{name}.png")), &bytes).unwrap();
        bytes
    }

    /// What axe-core finds wrong for those who can't see well, or have no mouse.
    pub(crate) fn barriers(&self) -> Vec<String> {
        let axe = std::fs::read_to_string(axe()).unwrap();
        // By the way of tools: the policy of the page lets no other script in.
        self.devtools("Runtime.evaluate", json!({ "expression": axe }));
        let found = self.ask(
            "POST",
            "/execute/async",
            json!({ "script": "const done = arguments[0]; axe.run().then(found => done(found.violations), error => done([String(error)]))", "args": [] }),
        );
        found.as_array().unwrap().iter().map(ToString::to_string).collect()
    }

    /// Errors that the console has shown since it was asked last.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let log = self.ask("POST", "/se/log", json!({ "type": "browser" }));
        let lines = log.as_array().unwrap().iter().filter(|line| line["level"] == "SEVERE");
        lines.map(|line| line["message"].to_string()).collect()
    }
}

fn axe() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("servers-venv").join("axe.min.js")
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() {
            // Also where the test has failed: the driver does not end the browser by itself.
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.ask("DELETE", "", Value::Null)));
        }
        // It ends its browser, where it was not asked to.
        let pid = nix::unistd::Pid::from_raw(self.driver.id().cast_signed());
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        let _ = self.driver.wait();
    }
}
