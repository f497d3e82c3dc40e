//! Thirty nights as a picture: what came of each, and how much each stored. Each bar says in words what it shows.

use std::fmt::Write as _;

use super::html::{bytes, escaped};
use crate::db::Past;
use crate::outcome::Outcome;
use crate::status::Pair;

const NIGHTS: usize = 30;
const WIDTH: usize = 10;
const HEIGHT: u64 = 40;
const DAY_SECONDS: i64 = 86_400;

/// Both pictures, up to the last day and night.
pub(super) fn draw(html: &mut String, pair: &Pair, now: i64, shown: &dyn Fn(i64) -> String) {
    let nights = nights(pair, now);
    let count = |kind: Kind| nights.iter().flatten().filter(|past| Kind::of(past) == kind).count();
    let (good, problems, failed) = (count(Kind::Good), count(Kind::Problems), count(Kind::Failed));
    let words = format!("{NIGHTS} nights: {good} good, {problems} with problems, {failed} without a backup");
    let _ = write!(html, "<h3>{words}</h3>");
    begin(html, &words);
    for (at, night) in nights.iter().enumerate() {
        // Low where nothing ran, and lower the worse it went: not by colour alone.
        let (x, width) = (at * WIDTH, WIDTH - 2);
        let (class, top) = match night.map(Kind::of) {
            None => ("n", 36),
            Some(Kind::Good) => ("g", 0),
            Some(Kind::Problems) => ("p", 12),
            Some(Kind::Failed) => ("f", 26),
        };
        let height = HEIGHT - top;
        let _ = write!(html, "<rect class=\"{class}\" x=\"{x}\" y=\"{top}\" width=\"{width}\" height=\"{height}\">");
        if let Some(past) = night {
            let title = format!("{}: {}", shown(past.ended), Kind::of(past).words(past));
            let _ = write!(html, "<title>{}</title>", escaped(&title));
        }
        html.push_str("</rect>");
    }
    html.push_str("</svg>");
    let most = nights.iter().flatten().map(|past| past.stored).max().unwrap_or(0);
    if most == 0 {
        return;
    }
    let words = format!("Added in each, {} at most", bytes(most));
    let _ = write!(html, "<h3>{words}</h3>");
    begin(html, &words);
    for (at, past) in nights.iter().enumerate() {
        let Some(past) = past else { continue };
        let (x, width) = (at * WIDTH, WIDTH - 2);
        // What is not nothing is seen.
        let height = (u128::from(past.stored) * u128::from(HEIGHT)).div_ceil(u128::from(most));
        let title = format!("{}: {}", shown(past.ended), bytes(past.stored));
        let _ = write!(
            html,
            "<rect class=\"b\" x=\"{x}\" y=\"{}\" width=\"{width}\" height=\"{height}\"><title>{}</title></rect>",
            u128::from(HEIGHT) - height,
            escaped(&title)
        );
    }
    html.push_str("</svg>");
}

/// Of each day and night the last good backup, or what was tried; the oldest first.
fn nights(pair: &Pair, now: i64) -> [Option<&Past>; NIGHTS] {
    let mut nights = [None::<&Past>; NIGHTS];
    for past in pair.past.iter().filter(|past| past.what == pair.deed()) {
        let ago = usize::try_from((now - past.ended).max(0) / DAY_SECONDS).unwrap_or(NIGHTS);
        let Some(night) = NIGHTS.checked_sub(ago + 1).and_then(|at| nights.get_mut(at)) else { continue };
        if past.is_good() || !night.is_some_and(Past::is_good) {
            *night = Some(past);
        }
    }
    nights
}

fn begin(html: &mut String, words: &str) {
    let width = NIGHTS * WIDTH;
    let _ = write!(
        html,
        "<svg class=\"nights\" role=\"img\" aria-label=\"{words}\" viewBox=\"0 0 {width} {HEIGHT}\" preserveAspectRatio=\"none\">"
    );
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Good,
    Problems,
    Failed,
}

impl Kind {
    fn of(past: &Past) -> Self {
        match past.is_good() {
            true if past.problems == 0 && past.outcome == Outcome::Done => Self::Good,
            true => Self::Problems,
            false => Self::Failed,
        }
    }

    fn words(self, past: &Past) -> String {
        match self {
            Self::Good => "good".into(),
            Self::Problems => format!("{} problems", past.problems),
            Self::Failed if past.outcome == Outcome::Interrupted => "stopped before it was done".into(),
            Self::Failed => "failed".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::Deed;

    #[test]
    fn a_night_without_a_run_is_a_gap() {
        let now = 1_795_570_200;
        let past = |days: i64, outcome: Outcome| Past {
            what: Deed::Backup,
            source: "s".into(),
            target: "t".into(),
            began: now - days * DAY_SECONDS - 60,
            ended: now - days * DAY_SECONDS,
            outcome,
            backup: (outcome == Outcome::Done).then(|| "b".into()),
            files: 1,
            bytes: 1,
            stored: 7,
            problems: 0,
            words: String::new(),
        };
        let all =
            [(400, Outcome::Done), (29, Outcome::Done), (2, Outcome::Failed), (0, Outcome::Done), (0, Outcome::Failed)];
        let pair = Pair { past: all.map(|(days, outcome)| past(days, outcome)).into(), ..Pair::default() };
        let shown = nights(&pair, now).map(|night| night.map(Past::is_good));
        assert_eq!((shown[0], shown[27], shown[29]), (Some(true), Some(false), Some(true)));
        assert_eq!(shown.iter().flatten().count(), 3);
        let mut html = String::new();
        draw(&mut html, &pair, now, &|time| time.to_string());
        assert!(html.contains("30 nights: 2 good, 0 with problems, 1 without a backup"), "{html}");
    }
}
