//! Whether what lies at one target has come to another too, in a plain sentence.

use super::Pair;
use super::verdict::{DAY_SECONDS, Level, OLD_SECONDS, Verdict, advice, age, beside, found, last_ended};
use crate::db::Deed;
use crate::outcome::Outcome;

/// Of all that lies at one target and is to be at another too.
pub(super) fn of_copy(pair: &Pair, now: i64) -> Verdict {
    let last = last_ended(pair, Deed::Copy);
    let Some(good) = pair.good_at(now) else {
        return match last {
            None if !pair.is_known => Verdict::new(Level::Look, "Nothing is known of it yet.")
                .advice("What the box remembers is read as soon as that can be done."),
            None if pair.last(Deed::Copy).is_some() => Verdict::new(Level::Danger, "Not all of it is copied yet.")
                .advice("The first copy was stopped before it was done, and goes on at its next time."),
            None => Verdict::new(Level::Danger, "Not copied yet.").advice("It is copied when its time comes, or now."),
            Some(past) => {
                Verdict::new(Level::Danger, "No copy of all of it has come to be yet.").advice(advice(past.outcome))
            }
        };
    };
    let age = age(now - good);
    let failed = last.filter(|past| past.outcome != Outcome::Done).map(|past| advice(past.outcome));
    if now - good > OLD_SECONDS.max(pair.every.unwrap_or(0) + DAY_SECONDS) {
        return Verdict::new(Level::Danger, format!("The last good copy is {age} old.")).advice(
            failed.unwrap_or("None has ended since: is the service on at the time of the job, and long enough?"),
        );
    }
    let done = format!("Copied {age} ago");
    match (found(pair, &done), failed) {
        (Some(found), _) => found,
        (None, Some(advice)) => {
            Verdict::new(Level::Look, format!("The last copy did not end well; the last good one is {age} old."))
                .advice(advice)
        }
        (None, None) => beside(pair, &done),
    }
}

#[cfg(test)]
mod tests {
    use super::super::verdict::tests::{NOW, past};
    use super::*;
    use crate::db::Past;

    #[test]
    fn a_copy_is_as_good_as_the_last_one_of_all() {
        use Deed::{Copy, Post, Verify};
        use Outcome::{Done, DoneWithProblems, Failed, Interrupted};
        let (hour, good) = (NOW - 3600, past(Copy, NOW - 90_000, Done, 0));
        let told = |past: Vec<Past>| {
            let verdict = of_copy(&Pair { past, is_copy: true, is_known: true, ..Pair::default() }, NOW);
            (verdict.level, verdict.words)
        };
        for (nights, level, words) in [
            (vec![], Level::Danger, "Not copied yet."),
            (vec![past(Copy, hour, Interrupted, 0)], Level::Danger, "Not all of it is copied yet."),
            (vec![past(Copy, hour, DoneWithProblems, 1)], Level::Danger, "No copy of all of it has come to be yet."),
            (vec![past(Copy, hour, Done, 0)], Level::Safe, "Copied 1 hour ago."),
            (vec![good.clone(), past(Copy, hour, Interrupted, 0)], Level::Safe, "Copied 1 day ago."),
            (
                vec![good.clone(), past(Copy, hour, DoneWithProblems, 2)],
                Level::Look,
                "The last copy did not end well; the last good one is 1 day old.",
            ),
            (
                vec![good.clone(), past(Post, hour, Failed, 0)],
                Level::Look,
                "Copied 1 day ago, but the last `post` command did not end well.",
            ),
            (
                vec![good, past(Verify, hour, DoneWithProblems, 1)],
                Level::Danger,
                "Copied 1 day ago, but a verification found 1 problem.",
            ),
            (vec![past(Copy, NOW - 300_000, Done, 0)], Level::Danger, "The last good copy is 3 days old."),
        ] {
            assert_eq!(told(nights), (level, words.to_owned()));
        }
    }
}
