//! Alerts over HTTP: JSON to an address, and checks in the way of healthchecks.io.

use super::{Error, Event, Until};
use crate::config::{AlertKind, AlertOptions, HookSettings};
use crate::outcome::Outcome;
use crate::provider::Hook;
use crate::target::{Message, post};

/// What healthchecks.io keeps of a body is more.
const CHECK_BYTES_MAX: usize = 8 * 1024;

/// Posts the event as JSON.
pub(super) fn webhook(settings: &HookSettings, event: &Event, until: Until<'_>) -> Result<(), Error> {
    let (hook, token) = settings.find()?;
    let json = event.to_json().to_string();
    let token = token.as_ref().map(|token| token.as_str());
    let message = Message { content_type: "application/json", body: json.as_bytes(), token };
    send(settings, &hook, message, until)
}

/// Pings a check: below its address `/start`, `/fail`, or an exit code, of which every one but 0 is a failure.
pub(super) fn check(
    alert: &AlertOptions,
    settings: &HookSettings,
    event: &Event,
    until: Until<'_>,
) -> Result<(), Error> {
    let (hook, _) = settings.find()?;
    let hook = match event.kind {
        AlertKind::Start => hook.below("start"),
        AlertKind::Success => hook,
        AlertKind::Failure | AlertKind::Overdue => hook.below("fail"),
        // Who does not want to hear of them must hear that there is a backup, or the check goes off.
        AlertKind::Problems if !alert.on.contains(&AlertKind::Problems) => hook,
        AlertKind::Problems => hook.below(&Outcome::DoneWithProblems.code().to_string()),
    };
    let text = event.text();
    let body = &text.as_bytes()[..text.len().min(CHECK_BYTES_MAX)];
    let message = Message { content_type: "text/plain; charset=utf-8", body, token: None };
    send(settings, &hook, message, until)
}

fn send(settings: &HookSettings, hook: &Hook, message: Message<'_>, until: Until<'_>) -> Result<(), Error> {
    until.tries(|within| Ok(post(hook, &settings.trust, message, within, until.stop)?))
}
