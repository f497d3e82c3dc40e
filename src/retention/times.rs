//! When backups were made, by clocks that may have been wrong for a night.

/// Sets right the times of a chain, in its order, in seconds since 1970. A backup that does not fit in between most of the others was made with
/// a clock that was wrong: it is taken to be as old as the one before it. Times that are yet to come are left.
pub(super) fn straighten(times: &mut [i64], now: i64) {
    let known: Vec<usize> = (0..times.len()).filter(|at| times[*at] <= now).collect();
    let mut fits = longest_rise(&known, times).into_iter().peekable();
    let mut before = None;
    for at in known {
        if fits.next_if_eq(&at).is_some() {
            before = Some(times[at]);
            continue;
        }
        // In front of all that fit: as old as the first of them.
        let next = || fits.peek().map(|next| times[*next]);
        if let Some(time) = before.or_else(next) {
            times[at] = time;
        }
    }
}

/// The most of them that do not go back, by patience sorting (Fredman 1975).
fn longest_rise(known: &[usize], times: &[i64]) -> Vec<usize> {
    // The last of the best row of each length, and who stands before whom.
    let mut last: Vec<usize> = Vec::new();
    let mut before: Vec<Option<usize>> = vec![None; times.len()];
    for at in known.iter().copied() {
        let length = last.partition_point(|end| times[*end] <= times[at]);
        before[at] = length.checked_sub(1).map(|shorter| last[shorter]);
        match last.get_mut(length) {
            Some(end) => *end = at,
            None => last.push(at),
        }
    }
    let mut rise: Vec<usize> = std::iter::successors(last.last().copied(), |at| before[*at]).collect();
    rise.reverse();
    rise
}

#[cfg(test)]
mod tests {
    use super::*;

    fn straightened(times: &[i64], now: i64) -> Vec<i64> {
        let mut straight = times.to_vec();
        straighten(&mut straight, now);
        straight
    }

    #[test]
    fn a_clock_that_was_wrong_for_a_night_makes_no_backup_old_or_new() {
        assert_eq!(straightened(&[], 0), [0; 0]);
        assert_eq!(straightened(&[10, 20, 20, 30], 100), [10, 20, 20, 30]);
        // Not set.
        assert_eq!(straightened(&[10, 20, 0, 30, 40], 100), [10, 20, 20, 30, 40]);
        assert_eq!(straightened(&[0, 10, 20], 100), [0, 10, 20], "the first may be as old as it says");
        // Ahead, while that is to come, and when that time has come and gone.
        let ahead = [10, 20, 90, 30, 40, 50];
        assert_eq!(straightened(&ahead, 60), ahead);
        assert_eq!(straightened(&ahead, 90), [10, 20, 20, 30, 40, 50]);
        assert_eq!(straightened(&[90, 30, 40, 50, 100], 100), [30, 30, 40, 50, 100], "the first one");
        // Several nights.
        assert_eq!(straightened(&[10, 20, 90, 91, 30, 40, 50], 100), [10, 20, 20, 20, 30, 40, 50]);
    }
}
