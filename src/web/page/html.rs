//! The page as text: what the owner sees at one glance, whole without a script. Nothing is in it that was not escaped.

use std::fmt::Write as _;

use super::gate::Who;
use super::nights;
use crate::db::{Deed, Past};
use crate::monitor::Counter;
use crate::outcome::Outcome;
use crate::status::{Board, Level, Pair, Progress, Report, UPKEEP, Verdict, age, of_all, of_pair};

/// Of what went wrong.
const WORDS_LINES_MAX: usize = 12;

/// What is made of a report for one who looks.
pub(super) struct View<'a> {
    pub(super) report: &'a Report,
    pub(super) board: &'a Board,
    pub(super) who: &'a Who,
}

/// A text as a browser shows it, letter by letter.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            _ => safe.push(letter),
        }
    }
    safe
}

impl View<'_> {
    /// What is between the head and the foot.
    pub(super) fn main(&self) -> String {
        let mut html = String::with_capacity(8192);
        let verdict = of_all(self.report);
        self.verdict(&mut html, &verdict);
        self.now(&mut html);
        html.push_str("<div id=\"pairs\">");
        for pair in &self.report.pairs {
            self.pair(&mut html, pair);
        }
        html.push_str("</div>");
        if !self.report.without_job.is_empty() {
            let _ = write!(
                html,
                "<p class=\"soft\">No job backs up: {}.</p>",
                escaped(&self.report.without_job.join(", "))
            );
        }
        html
    }

    pub(super) fn foot(&self) -> String {
        let Report { now, since, .. } = self.report;
        let version = env!("CARGO_PKG_VERSION");
        let running = age(now - since);
        format!(
            "<span>brackup {version}, running for {running}</span><span><a href=\"/api/status\">status for programs</a> <a href=\"/metrics\">metrics</a></span>"
        )
    }

    fn verdict(&self, html: &mut String, verdict: &Verdict) {
        let (level, mark) = (verdict.level.word(), mark(verdict.level));
        let words = escaped(&verdict.words);
        let _ = write!(
            html,
            "<section id=\"verdict\" class=\"verdict {level}\">{mark}<div><div role=\"status\"><h1>{words}</h1></div>"
        );
        if let Some(advice) = &verdict.advice {
            let _ = write!(html, "<p>{}</p>", escaped(advice));
        }
        if let Some(until) = self.report.paused_until {
            let _ = write!(html, "<p>Paused until {}.</p>", self.time(until));
        } else if let Some(next) = self.report.pairs.iter().filter_map(|pair| pair.next).min() {
            let _ = write!(html, "<p class=\"soft\">The next backup begins {}.</p>", self.time(next));
        }
        html.push_str("</div></section>");
    }

    /// What is happening, and what can be done about it.
    fn now(&self, html: &mut String) {
        html.push_str("<section id=\"now\" aria-labelledby=\"doing\">");
        match &self.report.running {
            None => html.push_str("<h2 id=\"doing\">Nothing is running</h2>"),
            Some(running) => self.running(html, running),
        }
        if let Some(waiting) = &self.report.waiting {
            let _ = write!(html, "<p class=\"soft\">Waiting: {}.</p>", escaped(waiting));
        }
        if let Who::Owner(proof) = self.who {
            let pairs = self.report.pairs.iter().filter(|pair| !pair.is_by_hand());
            let mut jobs: Vec<_> = pairs.map(|pair| pair.job.as_str()).collect();
            jobs.dedup();
            let is_running = self.report.running.is_some();
            if is_running {
                button(html, proof, "stop", None, "Stop", "");
            } else {
                for &job in &jobs {
                    let of = if jobs.len() > 1 { format!(": {job}") } else { String::new() };
                    button(html, proof, "run", Some(job), &format!("Back up now{of}"), " class=\"first\"");
                    button(html, proof, "verify", Some(job), &format!("Verify now{of}"), "");
                }
            }
            match self.report.paused_until {
                None => button(html, proof, "pause", None, "Pause for an hour", ""),
                Some(_) => button(html, proof, "resume", None, "Go on", ""),
            }
        } else if *self.who == Who::Guest {
            html.push_str("<p class=\"soft\">To be looked at only. <code>brackup serve --set-password</code> on this box opens it to you: buttons, and names of files.</p>");
        }
        html.push_str("</section>");
    }

    fn running(&self, html: &mut String, running: &Progress) {
        let now = self.report.now;
        let _ = write!(html, "<h2 id=\"doing\">{}</h2>", escaped(&running.what));
        let percent = running.percent();
        match percent {
            Some(percent) => {
                let _ = write!(html, "<progress aria-labelledby=\"doing\" max=\"100\" value=\"{percent}\"></progress>");
            }
            None => html.push_str("<progress aria-labelledby=\"doing\"></progress>"),
        }
        let percent = percent.map(|percent| format!("{percent} %, ")).unwrap_or_default();
        let left = running.left(now).map(|left| format!(", about {} left", age(left.try_into().unwrap_or(i64::MAX))));
        let rate = format!("at {}/s{}", bytes(running.rate(now)), left.unwrap_or_default());
        let [done, stored] = [Counter::FileBytes, Counter::StoredBytes].map(|counter| bytes(running.of(counter)));
        let of_files = format!("{} files, {done} {rate}; {stored} stored", running.of(Counter::Files));
        let far = if running.is_of_files() { of_files } else { format!("{stored} {rate}") };
        let _ = write!(html, "<p id=\"far\">{percent}{far}</p>");
        if self.who.sees_names() {
            let _ = write!(html, "<p class=\"path\">{}</p>", escaped(&running.path));
        }
        if running.problems_told > 0 {
            let _ = write!(html, "<h3>Problems so far: {}</h3>", running.problems_told);
            self.list(html, running.problems.iter().map(String::as_str));
        }
    }

    fn pair(&self, html: &mut String, pair: &Pair) {
        let verdict = of_pair(pair, self.report.now);
        let [source, target] = [&pair.source, &pair.target].map(|name| escaped(name));
        let level = verdict.level.word();
        let _ = write!(
            html,
            "<section class=\"{level}\" aria-label=\"{source} to {target}\"><h2>{source} <span aria-hidden=\"true\">→</span> {target}</h2>"
        );
        let _ = write!(
            html,
            "<p><b>{}</b> {}</p><dl>",
            escaped(&verdict.words),
            verdict.advice.as_deref().map(escaped).unwrap_or_default()
        );
        let never = || "never".to_owned();
        let last_good = if pair.is_copy { "Last good copy" } else { "Last good backup" };
        row(html, last_good, &pair.good_at(self.report.now).map_or_else(never, |at| self.ago(at)));
        row(html, "Next", &pair.next.map_or_else(|| "not planned".into(), |at| self.time(at)));
        // What others have stored, nobody here can look into.
        if !pair.is_copy {
            row(html, "Versions kept", &pair.holding.backups.to_string());
            let (stored, unpacked) = (bytes(pair.holding.stored), bytes(pair.holding.unpacked));
            row(html, "Stored", &format!("{stored}; unpacked it would be {unpacked}"));
        }
        row(html, "Last verified", &pair.last(Deed::Verify).map_or_else(never, |past| self.checked(past)));
        if !pair.is_copy {
            row(html, "Last restore test", &pair.last(Deed::RestoreTest).map_or_else(never, |past| self.checked(past)));
        }
        if let Some((free, at)) = pair.free {
            row(html, "Free space", &format!("{}, seen {}", bytes(free), self.ago(at)));
        }
        if let Some((sequence, name, sha256)) = &pair.head {
            let short = sha256.get(..16).unwrap_or(sha256);
            row(html, "Head of the chain", &format!("{sequence}: {}, {}…", escaped(name), escaped(short)));
        }
        html.push_str("</dl>");
        nights::draw(html, pair, self.report.now, &|at| self.board.shown(at));
        for (deed, what) in [(Deed::Backup, "backup")].into_iter().chain(UPKEEP) {
            let Some(past) = pair.last(deed).filter(|past| !past.words.is_empty()) else { continue };
            let _ = write!(html, "<h3>What went wrong, {what} of {}</h3>", self.time(past.ended));
            self.list(html, past.words.lines());
        }
        html.push_str("</section>");
    }

    /// Words with names of files in them, for who may see those.
    fn list<'t>(&self, html: &mut String, lines: impl Iterator<Item = &'t str>) {
        if !self.who.sees_names() {
            html.push_str("<p class=\"soft\">Who is logged in sees which files.</p>");
            return;
        }
        html.push_str("<ul>");
        for line in lines.take(WORDS_LINES_MAX) {
            let _ = write!(html, "<li>{}</li>", escaped(line));
        }
        html.push_str("</ul>");
    }

    fn checked(&self, past: &Past) -> String {
        let how = match past.outcome {
            Outcome::Done => "all good",
            Outcome::DoneWithProblems => "with problems",
            Outcome::Interrupted => "not ended",
            _ => "failed",
        };
        format!("{}: {how}", self.ago(past.ended))
    }

    /// `3 hours ago`, and when exactly to who points there.
    fn ago(&self, at: i64) -> String {
        format!("<time title=\"{}\">{} ago</time>", escaped(&self.board.shown(at)), age(self.report.now - at))
    }

    fn time(&self, at: i64) -> String {
        let shown = self.board.shown(at);
        let to_minutes = shown.get(..16).unwrap_or(&shown);
        format!("<time>{}</time>", escaped(to_minutes))
    }
}

/// Where a password is asked for.
pub(super) fn login(words: &str) -> String {
    let words = escaped(words);
    format!(
        "<section><h1>Who are you?</h1><p role=\"alert\">{words}</p><form method=\"post\" action=\"/login\"><label for=\"password\">Password</label><input id=\"password\" name=\"password\" type=\"password\" autocomplete=\"current-password\" required autofocus><button class=\"first\">Log in</button></form></section>"
    )
}

/// The way out.
pub(super) fn leave(who: &Who) -> String {
    let Who::Owner(proof) = who else { return String::new() };
    format!(
        "<form method=\"post\" action=\"/logout\"><input type=\"hidden\" name=\"proof\" value=\"{proof}\"><button>Log out</button></form>"
    )
}

/// `7.0 MiB`.
pub(super) fn bytes(number: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if number < 1024 {
        return format!("{number} B");
    }
    let power = number.ilog2() / 10;
    let tenths = (number >> (10 * (power - 1))) * 10 / 1024;
    let unit = UNITS.get(power as usize - 1).copied().unwrap_or_default();
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

fn button(html: &mut String, proof: &str, action: &str, job: Option<&str>, words: &str, class: &str) {
    let place = job.map(|job| format!("-{}", escaped(job))).unwrap_or_default();
    let _ = write!(
        html,
        "<form id=\"{action}{place}\" data-live method=\"post\" action=\"/do/{action}\"><input type=\"hidden\" name=\"proof\" value=\"{proof}\">"
    );
    if let Some(job) = job {
        let _ = write!(html, "<input type=\"hidden\" name=\"job\" value=\"{}\">", escaped(job));
    }
    let _ = write!(html, "<button{class}>{}</button></form>", escaped(words));
}

fn row(html: &mut String, name: &str, value: &str) {
    let _ = write!(html, "<div><dt>{name}</dt><dd>{value}</dd></div>");
}

/// Not by its colour alone.
fn mark(level: Level) -> &'static str {
    match level {
        Level::Safe => {
            "<svg class=\"mark\" viewBox=\"0 0 24 24\" aria-hidden=\"true\"><path d=\"M4 13l5 5L20 6\"/></svg>"
        }
        Level::Look => {
            "<svg class=\"mark\" viewBox=\"0 0 24 24\" aria-hidden=\"true\"><path d=\"M12 4v11M12 18v3\"/></svg>"
        }
        Level::Danger => {
            "<svg class=\"mark\" viewBox=\"0 0 24 24\" aria-hidden=\"true\"><path d=\"M5 5l14 14M19 5L5 19\"/></svg>"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (number, shown) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (7 << 20, "7.0 MiB"),
            (u64::MAX, "15.9 EiB"),
            ((1 << 40) - 1, "1023.9 GiB"),
        ] {
            assert_eq!(bytes(number), shown);
        }
    }

    #[test]
    fn nothing_that_somebody_named_is_taken_for_html() {
        let name = "<script>\"'&";
        let board = Board::new(|| {});
        let past = Past {
            what: Deed::Backup,
            source: name.into(),
            target: name.into(),
            began: 1,
            ended: 2,
            outcome: Outcome::DoneWithProblems,
            backup: Some(name.into()),
            files: 1,
            bytes: 1,
            stored: 1,
            problems: 1,
            words: format!("{name}\n{name}"),
        };
        let head = Some((1, name.to_owned(), name.to_owned()));
        let pair = Pair {
            job: name.into(),
            source: name.into(),
            target: name.into(),
            past: vec![past],
            head,
            ..Pair::default()
        };
        let running = Some(Progress {
            what: name.into(),
            path: name.into(),
            problems: vec![name.into()],
            problems_told: 1,
            ..Progress::default()
        });
        let report = Report {
            now: 3,
            trouble: Some(name.into()),
            waiting: Some(name.into()),
            without_job: vec![name.into()],
            pairs: vec![pair.clone(), pair],
            running,
            ..Report::default()
        };
        for who in [Who::Owner("proof".into()), Who::Program, Who::Guest] {
            let idle = Report { running: None, ..report.clone() };
            for report in [&report, &idle] {
                let html = View { report, board: &board, who: &who }.main();
                assert!(!html.contains("<script") && !html.contains(name), "{html}");
            }
        }
        assert!(!login(name).contains(name));
    }

    #[test]
    fn names_of_files_are_for_who_is_logged_in() {
        let board = Board::new(|| {});
        let past = Past {
            what: Deed::Backup,
            source: "s".into(),
            target: "t".into(),
            began: 1,
            ended: 2,
            outcome: Outcome::DoneWithProblems,
            backup: Some("b".into()),
            files: 1,
            bytes: 1,
            stored: 1,
            problems: 1,
            words: "diary: can't be read".into(),
        };
        let running = Some(Progress {
            path: "diary".into(),
            problems: vec!["diary".into()],
            problems_told: 1,
            ..Progress::default()
        });
        let report =
            Report { now: 3, pairs: vec![Pair { past: vec![past], ..Pair::default() }], running, ..Report::default() };
        let shown = |who| View { report: &report, board: &board, who: &who }.main().matches("diary").count();
        assert_eq!((shown(Who::Guest), shown(Who::Owner("proof".into()))), (0, 3));
    }

    #[test]
    fn of_a_copy_nothing_is_said_that_nobody_knows() {
        let board = Board::new(|| {});
        let shown = |is_copy| {
            let report = Report { now: 3, pairs: vec![Pair { is_copy, ..Pair::default() }], ..Report::default() };
            View { report: &report, board: &board, who: &Who::Guest }.main()
        };
        let rows = ["Last good copy", "Last good backup", "Versions kept", "unpacked", "Last restore test"];
        let has = |html: &str| rows.map(|row| html.contains(row));
        assert_eq!(has(&shown(true)), [true, false, false, false, false]);
        assert_eq!(has(&shown(false)), [false, true, true, true, true]);
    }
}
