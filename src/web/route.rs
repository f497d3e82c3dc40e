//! Which request is what, and whose: docs/PROTOCOL.md from top to bottom.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use hyper::body::{Body as _, Incoming};
use hyper::header::{CONNECTION, EXPECT, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, StatusCode};
use tokio::time::{sleep, timeout};

use super::accept::House;
use super::answer::{self, Answer};
use super::bearer;
use super::host::{Host, Name};
use super::objects;
use super::refusal::Refusal;
use super::until::Until;

/// A body that nobody wants is taken up to this, so that its sender hears why.
const UNWANTED_BYTES_MAX: usize = 1024 * 1024;
/// Of a path that is logged.
const PATH_CHARS_MAX: usize = 80;

/// Who asks, and where.
#[derive(Clone)]
pub(super) struct Caller {
    pub(super) house: Arc<House>,
    pub(super) peer: SocketAddr,
    pub(super) until: Until,
}

/// Counts a request for as long as it is answered.
struct Busy(Arc<House>);

impl Busy {
    fn of(house: Arc<House>) -> Self {
        house.busy.fetch_add(1, Ordering::Relaxed);
        Self(house)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One request.
pub(super) async fn answer(caller: Caller, request: Request<Incoming>) -> Result<Answer, Infallible> {
    let _busy = Busy::of(caller.house.clone());
    caller.until.begin();
    let (head, mut body) = request.into_parts();
    let (host, answered) = match head.uri.path().strip_prefix("/v1/") {
        None => (None, page(&caller, &head, &mut body).await),
        Some(path) => match known(&caller, &head) {
            Some(host) => {
                caller.house.sweep_once();
                (Some(host.clone()), at(&caller, host, path, &head, &mut body).await)
            }
            None => {
                // Who tries tokens tries few.
                sleep(caller.house.limits.refusal).await;
                (None, Err(Refusal::new(StatusCode::UNAUTHORIZED, "no host here has this token")))
            }
        },
    };
    let (mut answer, stays) = match answered {
        Ok(answer) => (answer, true),
        Err(refusal) => {
            tell(&caller, host.as_deref(), &head, &refusal);
            let answer = answer::refused(&refusal, allowed(head.uri.path()));
            // Whoever has no token keeps no connection from those who have one.
            let stays = is_taken(&caller, &head, &mut body).await && host.is_some();
            (answer, stays)
        }
    };
    // Nor does anybody where others may be waiting: places go round, an object at a time.
    if !stays || caller.house.is_full() {
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    caller.until.answered(answer.body());
    Ok(answer)
}

/// The owner's page, if it is shown.
async fn page(caller: &Caller, head: &Parts, body: &mut Incoming) -> Result<Answer, Refusal> {
    let nothing = || Refusal::new(StatusCode::NOT_FOUND, "there is nothing here: the protocol begins at /v1/");
    let rules = caller.house.rules().ok_or_else(nothing)?;
    let gate = rules.gate.clone().ok_or_else(nothing)?;
    let whence = (caller.peer, rules.is_tls());
    drop(rules);
    caller.house.page.answer(&gate, &caller.house, whence, head, body).await
}

fn known(caller: &Caller, head: &Parts) -> Option<Arc<Host>> {
    caller.house.rules()?.hosts.known_by(bearer::token(&head.headers)?)
}

async fn at(
    caller: &Caller,
    host: Arc<Host>,
    path: &str,
    head: &Parts,
    body: &mut Incoming,
) -> Result<Answer, Refusal> {
    let not_allowed = || {
        let words = "what is stored here is neither changed nor removed by anybody who asks here";
        Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, words))
    };
    let object = path.strip_prefix("objects/");
    match (path, object, &head.method) {
        ("", _, &Method::GET | &Method::HEAD) => objects::about(host).await,
        ("objects", _, &Method::GET) => objects::list(caller.house.clone(), host).await,
        ("objects", _, &Method::HEAD) => Ok(answer::head(objects::LINES, None)),
        (_, Some(name), &Method::GET | &Method::HEAD | &Method::PUT) => {
            let no_name = || Refusal::new(StatusCode::NOT_FOUND, "no object has such a name");
            let name = Name::parse(name).ok_or_else(no_name)?;
            match head.method {
                Method::PUT => objects::put(&caller.house, host, name, head, body).await,
                Method::HEAD => objects::look(host, name).await,
                _ => objects::get(caller.house.clone(), host, name, head).await,
            }
        }
        ("" | "objects", ..) | (_, Some(_), _) => not_allowed(),
        _ => Err(Refusal::new(StatusCode::NOT_FOUND, "there is nothing here")),
    }
}

fn allowed(path: &str) -> &'static str {
    if path.starts_with("/v1/objects/") { "GET, HEAD, PUT" } else { "GET, HEAD" }
}

/// Takes a body that is on its way although nobody wants it. Whoever asked before he sent it has heard enough.
async fn is_taken(caller: &Caller, head: &Parts, body: &mut Incoming) -> bool {
    if body.is_end_stream() {
        return true;
    }
    if head.headers.contains_key(EXPECT) {
        return false;
    }
    let taking = async {
        let mut taken = 0;
        while let Some(Ok(frame)) = objects::frame(body).await {
            taken += frame.len();
            if taken > UNWANTED_BYTES_MAX {
                return false;
            }
        }
        body.is_end_stream()
    };
    timeout(caller.house.limits.head, taking).await.unwrap_or(false)
}

/// What an owner may want to know; not what goes on every night.
fn tell(caller: &Caller, host: Option<&Host>, head: &Parts, refusal: &Refusal) {
    let is_usual = [StatusCode::NOT_FOUND, StatusCode::PRECONDITION_FAILED, StatusCode::RANGE_NOT_SATISFIABLE];
    if host.is_some() && is_usual.contains(&refusal.status) {
        return;
    }
    let who = host.map_or_else(|| caller.peer.ip().to_string(), |host| format!("host {}", host.name));
    let path: String = head.uri.path().chars().take(PATH_CHARS_MAX).collect();
    let inside = refusal.inside.as_ref().map(|inside| format!(": {inside}")).unwrap_or_default();
    let status = refusal.status.as_u16();
    let method: String = head.method.as_str().chars().take(PATH_CHARS_MAX).collect();
    let text = format!("{who}: refused: {method} {path}: {status}, {}{inside}", refusal.words);
    caller.house.log.say(&text);
}
