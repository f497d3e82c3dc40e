//! The owner's page, and what programs ask of the same: all of it from memory, and what is changed here is an order that the service may take.
//!
//! Where no password is set it is for this machine alone, and to be looked at only.

mod form;
mod gate;
mod html;
mod nights;
mod sessions;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, ETAG, HeaderValue,
    IF_NONE_MATCH, LOCATION, REFERRER_POLICY, RETRY_AFTER, SET_COOKIE, VARY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};
use sha2::Digest as _;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::chunk::Compressor;
use crate::date::Utc;
use crate::digest::Sha1;
use crate::status::{self, Board, Level, Order, Report};
use crate::web::accept::House;
use crate::web::answer::{self, Answer};
use crate::web::pieces::{Pieces, Tick, Ticks};
use crate::web::refusal::Refusal;
use gate::Who;
use html::View;
use sessions::Sessions;

pub(super) use gate::Gate;

const FRAME: &str = include_str!("../../../web/index.html");
const STYLE: &str = include_str!("../../../web/style.css");
const SCRIPT: &str = include_str!("../../../web/app.js");

const HTML: &str = "text/html; charset=utf-8";
const JSON: &str = "application/json";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";
const EVENTS: &str = "text/event-stream";
/// Of those who watch; others look now and then. Each has a place of a connection for long, so half of the places are for them at most.
const WATCHERS_MAX: usize = 8;
const ZSTD_LEVEL: i32 = 1;

/// What all who come share.
pub(super) struct Page {
    board: Arc<Board>,
    sessions: Sessions,
    /// Each takes 4 MiB and a processor: one at a time.
    hashing: Semaphore,
    watchers: Arc<Semaphore>,
    policy: String,
}

/// Somebody's request.
struct Asked<'a> {
    page: &'a Page,
    gate: &'a Gate,
    house: &'a Arc<House>,
    who: Who,
    peer: SocketAddr,
    is_tls: bool,
    head: &'a Parts,
}

impl Page {
    pub(super) fn new(board: Arc<Board>) -> Self {
        let hash = |text: &str| STANDARD.encode(sha2::Sha256::digest(text.as_bytes()));
        let (style, script) = (hash(STYLE), hash(SCRIPT));
        // Only what is in this program is run or painted, whatever gets into the text.
        let policy = format!(
            "default-src 'none'; style-src 'sha256-{style}'; script-src 'sha256-{script}'; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
        );
        let (sessions, watchers) = (Sessions::default(), Arc::new(Semaphore::new(WATCHERS_MAX)));
        Self { board, sessions, hashing: Semaphore::new(1), watchers, policy }
    }

    /// Nobody is logged in any more.
    pub(super) fn close_sessions(&self) {
        self.sessions.close_all();
    }

    /// Everything that is not of the protocol.
    pub(super) async fn answer(
        &self,
        gate: &Gate,
        house: &Arc<House>,
        (peer, is_tls): (SocketAddr, bool),
        head: &Parts,
        body: &mut Incoming,
    ) -> Result<Answer, Refusal> {
        gate.check_host(&head.headers)?;
        let who = gate.who(&head.headers, peer, &self.sessions);
        let asked = Asked { page: self, gate, house, who, peer, is_tls, head };
        let mut answer = match head.method {
            Method::GET | Method::HEAD => asked.look()?,
            Method::POST => asked.change(body).await?,
            _ => return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "GET and POST are all that is here")),
        };
        let headers = answer.headers_mut();
        if let Ok(policy) = HeaderValue::from_str(&self.policy) {
            headers.insert(CONTENT_SECURITY_POLICY, policy);
        }
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
        // With `no-referrer` a browser would not say either that a form of ours comes from here.
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
        // Who has not shown who he is keeps no connection from those who store here.
        if matches!(asked.who, Who::Stranger | Who::Outsider) {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if head.method == Method::HEAD {
            *answer.body_mut() = Pieces::Over;
        }
        Ok(answer)
    }

    fn report(&self) -> Report {
        self.board.report(Utc::now().to_unix())
    }
}

impl Asked<'_> {
    fn look(&self) -> Result<Answer, Refusal> {
        let path = self.head.uri.path();
        if path == "/healthz" {
            // Of anybody, so it says no more than that.
            let report = self.page.report();
            return Ok(match status::of_all(&report).level {
                Level::Danger => answer::words(StatusCode::SERVICE_UNAVAILABLE, "not safe"),
                _ if report.unknown() > 0 => answer::words(StatusCode::OK, "nothing is known yet"),
                _ => answer::words(StatusCode::OK, "safe"),
            });
        }
        match (path, &self.who) {
            (_, Who::Outsider) => {
                let words = "no password is set, so this page is for the box itself; `brackup serve --set-password` there sets one";
                Err(Refusal::new(StatusCode::FORBIDDEN, words))
            }
            ("/", Who::Stranger) => Ok(self.frame(StatusCode::OK, &html::login(""))),
            (_, Who::Stranger) => Err(Refusal::new(StatusCode::UNAUTHORIZED, "who is not logged in sees nothing here")),
            ("/", _) => Ok(self.home()),
            ("/api/status", _) => {
                let status = status::json(&self.page.report(), self.who.sees_names());
                Ok(answer::with(StatusCode::OK, JSON, Pieces::words(format!("{status}\n"))))
            }
            ("/metrics", _) => {
                let metrics = status::metrics(&self.page.report());
                Ok(answer::with(StatusCode::OK, PROMETHEUS, Pieces::words(metrics)))
            }
            ("/api/events", _) => self.events(),
            _ => Err(Refusal::new(StatusCode::NOT_FOUND, "there is nothing here")),
        }
    }

    /// The page; nothing new of it, if the browser has it as it is.
    fn home(&self) -> Answer {
        let report = self.page.report();
        let view = View { report: &report, board: &self.page.board, who: &self.who };
        let text = framed(&report, &view.main(), &view.foot(), &html::leave(&self.who));
        let tag = format!("\"{}\"", Sha1::of(text.as_bytes()));
        let is_known = self.head.headers.get_all(IF_NONE_MATCH).iter().any(|known| known.as_bytes() == tag.as_bytes());
        let mut answer = match is_known {
            true => answer::with(StatusCode::NOT_MODIFIED, HTML, Pieces::Over),
            false => self.small(text),
        };
        if let Ok(tag) = HeaderValue::from_str(&tag) {
            answer.headers_mut().insert(ETAG, tag);
        }
        answer
    }

    /// So small that it comes in one round trip (RFC 6928: 10 segments), where the browser can read that (RFC 8878).
    fn small(&self, text: String) -> Answer {
        let mut bytes = text.into_bytes();
        let accepted = self.head.headers.get_all(ACCEPT_ENCODING).iter().filter_map(|accepted| accepted.to_str().ok());
        let takes_zstd = accepted.flat_map(|accepted| accepted.split(',')).any(|coding| coding.trim() == "zstd");
        let length = takes_zstd.then(|| Compressor::new(ZSTD_LEVEL).ok()?.compress(&mut bytes).ok()?).flatten();
        bytes.truncate(length.unwrap_or(bytes.len()));
        let mut answer = answer::with(StatusCode::OK, HTML, Pieces::words(bytes));
        answer.headers_mut().insert(VARY, HeaderValue::from_static("accept-encoding, cookie"));
        if length.is_some() {
            answer.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("zstd"));
        }
        answer
    }

    fn frame(&self, status: StatusCode, main: &str) -> Answer {
        let report = Report { host: self.page.report().host, ..Report::default() };
        answer::with(status, HTML, Pieces::words(framed(&report, main, "", "")))
    }

    /// The page again and again, as it changes.
    fn events(&self) -> Result<Answer, Refusal> {
        let many = || Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "many watch already; look now and then");
        let place = self.page.watchers.clone().try_acquire_owned().map_err(|_| many())?;
        let (board, who, house) = (self.page.board.clone(), self.who.clone(), self.house.clone());
        let (headers, peer) = (self.head.headers.clone(), self.peer);
        let mut last = None;
        let next = move || {
            let _place = &place;
            // Logged out, another password, another token: it is over for this one too.
            let gate = house.rules().and_then(|rules| rules.gate.clone());
            if gate.is_none_or(|gate| gate.who(&headers, peer, &house.page.sessions) != who) {
                return Tick::End;
            }
            let report = board.report(Utc::now().to_unix());
            let view = View { report: &report, board: &board, who: &who };
            let (title, main, foot) = (html::escaped(&title(&report)), view.main(), view.foot());
            let page =
                format!("<title>{title}</title><main id=\"main\">{main}</main><footer id=\"foot\">{foot}</footer>");
            let digest = Sha1::of(page.as_bytes());
            if last.replace(digest) == Some(digest) {
                return Tick::Same;
            }
            Tick::Changed(Bytes::from(format!("event: page\ndata: {}\n\n", page.replace(['\n', '\r'], " "))))
        };
        Ok(answer::with(StatusCode::OK, EVENTS, Pieces::Live(Ticks::new(next))))
    }

    async fn change(&self, body: &mut Incoming) -> Result<Answer, Refusal> {
        let path = self.head.uri.path();
        gate::check_origin(&self.head.headers)?;
        let form = form::read(body, self.house.limits.head).await?;
        if path == "/login" {
            return self.log_in(form::field(&form, "password").unwrap_or_default()).await;
        }
        match &self.who {
            Who::Program => {}
            Who::Owner(proof) if form::field(&form, "proof").as_deref() == Some(proof) => {}
            Who::Owner(_) => return Err(Refusal::new(StatusCode::FORBIDDEN, "the page is an old one: load it again")),
            _ => return Err(Refusal::new(StatusCode::UNAUTHORIZED, "who is not logged in changes nothing here")),
        }
        let job = form::field(&form, "job").unwrap_or_default();
        let order = match path {
            "/logout" => return Ok(self.log_out()),
            "/do/run" => Order::Run(job),
            "/do/verify" => Order::Verify(job),
            "/do/pause" => Order::Pause,
            "/do/resume" => Order::Resume,
            "/do/stop" => Order::Stop,
            _ => return Err(Refusal::new(StatusCode::NOT_FOUND, "there is nothing here")),
        };
        if let Order::Run(job) | Order::Verify(job) = &order
            && !self.page.report().pairs.iter().any(|pair| pair.job == *job)
        {
            return Err(Refusal::new(StatusCode::NOT_FOUND, "there is no such job"));
        }
        if !self.page.board.order(order) {
            return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "there is much to do already"));
        }
        Ok(home_again())
    }

    async fn log_in(&self, given: String) -> Result<Answer, Refusal> {
        let Some(password) = self.gate.password().cloned() else {
            return Err(Refusal::new(StatusCode::FORBIDDEN, "no password is set"));
        };
        let from = self.peer.ip();
        if !self.page.sessions.may_try(from, Instant::now()) {
            self.house.log.say(&format!("{from}: too many wrong passwords: not heard for a while"));
            let mut answer =
                self.frame(StatusCode::TOO_MANY_REQUESTS, &html::login("Too many tries. Wait five minutes."));
            answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("300"));
            return Ok(answer);
        }
        let busy = || Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "the door closes");
        let turn = self.page.hashing.acquire().await.map_err(|_| busy())?;
        let is_right = spawn_blocking(move || password.is(&given)).await.unwrap_or(false);
        drop(turn);
        if !is_right {
            sleep(self.house.limits.refusal).await;
            self.house.log.say(&format!("{from}: a wrong password at the page"));
            return Ok(self.frame(StatusCode::FORBIDDEN, &html::login("That is not the password.")));
        }
        self.page.sessions.was_right(from);
        let mut answer = home_again();
        let opened = self.page.sessions.open(Instant::now()).ok_or_else(busy)?;
        if let Some(cookie) = gate::set_cookie(Some(&opened), self.is_tls) {
            answer.headers_mut().insert(SET_COOKIE, cookie);
        }
        Ok(answer)
    }

    fn log_out(&self) -> Answer {
        if let Some(id) = gate::session(&self.head.headers) {
            self.page.sessions.close(id);
        }
        let mut answer = home_again();
        if let Some(cookie) = gate::set_cookie(None, self.is_tls) {
            answer.headers_mut().insert(SET_COOKIE, cookie);
        }
        answer
    }
}

fn framed(report: &Report, main: &str, foot: &str, leave: &str) -> String {
    let (title, host) = (html::escaped(&title(report)), html::escaped(&report.host));
    let mut text = String::with_capacity(FRAME.len() + STYLE.len() + SCRIPT.len() + main.len() + foot.len());
    let mut rest = FRAME;
    while let Some((before, behind)) = rest.split_once("{{") {
        let Some((name, after)) = behind.split_once("}}") else { break };
        text.push_str(before);
        text.push_str(match name {
            "title" => &title,
            "host" => &host,
            "leave" => leave,
            "style" => STYLE,
            "script" => SCRIPT,
            "main" => main,
            _ => foot,
        });
        rest = after;
    }
    text.push_str(rest);
    text
}

/// What a tab of a browser shows.
fn title(report: &Report) -> String {
    let word = match (report.pairs.is_empty(), status::of_all(report).level) {
        (true, _) => "",
        (_, Level::Safe) => "safe: ",
        (_, Level::Look) => "look: ",
        (_, Level::Danger) => "not safe: ",
    };
    format!("{word}{} - brackup", report.host)
}

fn home_again() -> Answer {
    let mut answer = answer::with(StatusCode::SEE_OTHER, HTML, Pieces::Over);
    answer.headers_mut().insert(LOCATION, HeaderValue::from_static("/"));
    answer
}
