//! Sealed bytes of chunks, as they are asked for: one after the other, most of the time.

use std::io::{Cursor, Read};

use crate::digest::Key;
use crate::target::{self, ErrorKind, ObjectName, Target};

/// What is read for nothing at the beginning of a chunk, rather than asked for by another request.
const PASSED_BYTES_MAX: u64 = 1024 * 1024;

/// Answers that are open at a time. Each holds a connection, and what was read of it ahead.
pub(super) const IN_TURN: usize = 3;

/// Reads from one chunk after the other. While a chunk is read on and on, and on in the next, each request asks for twice as much as the one before:
/// the first whole chunk takes a dozen, and whoever turns away has asked for no more than he used.
///
/// A few are open at a time: what the nights have added lies elsewhere than what the first one stored, and files of both come in turns.
pub(super) struct Windows<'a> {
    target: &'a dyn Target,
    /// The one that was read last is the last.
    open: Vec<Window<'a>>,
    /// How many may be.
    in_turn: usize,
}

/// The answer to a request.
struct Window<'a> {
    key: Key,
    /// Where in the chunk the next byte is, and where the answer ends.
    at: u64,
    end: u64,
    /// Up to here it may go on, and what is between is not wanted.
    passed: u64,
    /// What was to be asked for, if the chunk had been so long.
    bytes: u64,
    chunk_bytes: u64,
    reader: Box<dyn Read + 'a>,
}

impl Window<'_> {
    /// Whether it goes on from there.
    fn is_at(&self, at: u64) -> bool {
        (self.at..=self.passed.max(self.at)).contains(&at)
    }

    /// The padding at the end of a chunk nobody reads: who has come there, and begins another chunk, is likely to read that as well.
    fn is_done(&self) -> bool {
        self.chunk_bytes.saturating_sub(self.at) <= self.chunk_bytes / 8
    }

    /// How much is asked for behind it.
    fn next(&self) -> u64 {
        self.bytes.min(self.chunk_bytes).saturating_mul(2)
    }
}

impl<'a> Windows<'a> {
    pub(super) fn of(target: &'a dyn Target) -> Self {
        Self { target, open: Vec::new(), in_turn: IN_TURN }
    }

    /// The last of this kind.
    fn take(&mut self, is_it: impl Fn(&Window<'_>) -> bool) -> Option<Window<'a>> {
        self.open.iter().rposition(is_it).map(|at| self.open.remove(at))
    }

    fn keep(&mut self, window: Window<'a>) {
        if self.open.len() >= self.in_turn {
            self.open.remove(0);
        }
        self.open.push(window);
    }

    /// What was asked of a chunk is not to be counted on: it may be another one by now.
    pub(super) fn forget(&mut self, key: &Key) {
        self.open.retain(|window| window.key != *key);
    }

    /// Asks. A server that does not answer while others of its answers are open may let nobody have several: then one has to do.
    fn ask<T>(&mut self, ask: impl Fn(&'a dyn Target) -> Result<T, target::Error>) -> Result<T, target::Error> {
        match ask(self.target) {
            Err(error) if error.kind == ErrorKind::Unreachable && !self.open.is_empty() => {
                self.open.clear();
                self.in_turn = 1;
                ask(self.target)
            }
            answer => answer,
        }
    }

    /// At most so many bytes of the beginning of a chunk, and how long it is. Who goes on from another chunk at about that place has begun to read
    /// this one: what is between is passed over.
    pub(super) fn begin(&mut self, key: &Key, most: usize, at: u64) -> Result<(Vec<u8>, u64), target::Error> {
        let name = ObjectName::Chunk(*key);
        self.forget(key);
        // Farther on it is asked for where it is wanted.
        let goes_on = |window: &Window<'_>| window.is_done() && at <= PASSED_BYTES_MAX.min(window.next());
        let before = self.take(goes_on);
        let bytes = before.as_ref().map_or(0, Window::next).max(most as u64);
        let (mut reader, chunk_bytes) = self.ask(|target| target.beginning(&name, bytes))?;
        let mut head = Vec::new();
        let failed = |error| target::Error::io(format!("can't read {name}"), error);
        let read = reader.by_ref().take(most as u64).read_to_end(&mut head).map_err(failed)? as u64;
        let passed = if before.is_some() { PASSED_BYTES_MAX } else { read };
        if at < bytes {
            let reader = Box::new(Cursor::new(head.clone()).chain(reader));
            self.keep(Window { key: *key, at: 0, end: bytes.min(chunk_bytes), passed, bytes, chunk_bytes, reader });
        }
        Ok((head, chunk_bytes))
    }

    /// Appends bytes of a chunk that has so many in all; fewer if it ends early.
    pub(super) fn read(
        &mut self,
        key: &Key,
        from: u64,
        length: u64,
        chunk_bytes: u64,
        into: &mut Vec<u8>,
    ) -> Result<(), target::Error> {
        let name = ObjectName::Chunk(*key);
        let failed = |error| target::Error::io(format!("can't read {name}"), error);
        let (mut at, end) = (from, from + length);
        while at < end {
            let mut window = match self.take(|open| open.key == *key && at < open.end && open.is_at(at)) {
                Some(window) => window,
                None => {
                    // What ended here was read to its end.
                    let goes_on = self.take(|before| before.key == *key && before.is_at(at));
                    let goes_on = match goes_on {
                        None if at <= chunk_bytes / 8 => self.take(|before| before.key != *key && before.is_done()),
                        goes_on => goes_on,
                    };
                    let bytes = goes_on.map_or(end - at, |before| before.next().max(end - at));
                    let length = bytes.min(chunk_bytes.saturating_sub(at)).max(1);
                    let reader = self.ask(|target| target.get(&name, at, length))?;
                    Window { key: *key, at, end: at + length, passed: 0, bytes, chunk_bytes, reader }
                }
            };
            if window.at < at {
                std::io::copy(&mut window.reader.by_ref().take(at - window.at), &mut std::io::sink())
                    .map_err(failed)?;
                window.at = at;
            }
            let wanted = end.min(window.end) - at;
            let got = window.reader.by_ref().take(wanted).read_to_end(into).map_err(failed)? as u64;
            at += got;
            window.at = at;
            if got < wanted {
                return Ok(());
            }
            self.keep(window);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::digest::Sha1;
    use crate::target::{Finished, Stage};

    /// One object of 100,000 bytes; writes down what was asked of it. It may not answer the next time.
    #[derive(Default)]
    struct Numbers(Mutex<Vec<(u64, u64)>>, AtomicBool);

    fn byte(at: u64) -> u8 {
        (at % 251) as u8
    }

    const BYTES: u64 = 100_000;

    impl Target for Numbers {
        fn get(&self, _: &ObjectName, offset: u64, length: u64) -> Result<Box<dyn Read + '_>, target::Error> {
            self.0.lock().unwrap().push((offset, length));
            if self.1.swap(false, Ordering::Relaxed) {
                return Err(target::Error::new(ErrorKind::Unreachable, "busy"));
            }
            let bytes: Vec<u8> = (offset..BYTES.min(offset + length)).map(byte).collect();
            Ok(Box::new(Cursor::new(bytes)))
        }

        fn beginning(&self, name: &ObjectName, length: u64) -> Result<(Box<dyn Read + '_>, u64), target::Error> {
            Ok((self.get(name, 0, length)?, BYTES))
        }

        fn stage(&self) -> Result<Stage, target::Error> {
            unreachable!()
        }

        fn put(&self, _: &ObjectName, _: Finished) -> Result<(), target::Error> {
            unreachable!()
        }

        fn stat(&self, _: &ObjectName) -> Result<Option<u64>, target::Error> {
            unreachable!()
        }

        fn list(&self, _: &mut dyn FnMut(ObjectName, u64) -> Result<(), target::Error>) -> Result<(), target::Error> {
            unreachable!()
        }

        fn delete(&self, _: &ObjectName) -> Result<(), target::Error> {
            unreachable!()
        }

        fn identify(&self, _: Option<&str>) -> Result<String, target::Error> {
            unreachable!()
        }

        fn clock(&self) -> Result<std::time::SystemTime, target::Error> {
            unreachable!()
        }

        fn describe(&self) -> String {
            unreachable!()
        }
    }

    fn asked(reads: &[(u8, u64, u64)]) -> Vec<(u64, u64)> {
        let numbers = Numbers::default();
        let mut windows = Windows::of(&numbers);
        for (chunk, from, length) in reads {
            let mut bytes = Vec::new();
            windows.read(&Sha1([*chunk; 20]), *from, *length, BYTES, &mut bytes).unwrap();
            let expected: Vec<u8> = (*from..(from + length).min(BYTES)).map(byte).collect();
            assert!(bytes == expected, "{from} {length}");
        }
        numbers.0.lock().unwrap().clone()
    }

    #[test]
    fn who_reads_on_asks_for_more_and_more() {
        let reads: Vec<_> = (0..100).map(|number| (1, number * 1000, 1000)).collect();
        let sizes: Vec<_> = asked(&reads).into_iter().map(|(_, length)| length).collect();
        assert_eq!(sizes, [1000, 2000, 4000, 8000, 16_000, 32_000, 37_000]);
    }

    #[test]
    fn who_has_read_a_chunk_to_its_end_asks_for_much_of_the_next() {
        // Behind the 98th thousand there is padding. A chunk that was only looked into is not read to its end.
        let all = |chunk| (0..98).map(move |number| (chunk, number * 1000, 1000));
        let reads: Vec<_> =
            all(1).chain(all(2)).chain([(1, 0, 1000), (2, 0, 1000), (1, 99_000, 1000), (2, 50_000, 10)]).collect();
        let sizes: Vec<_> = asked(&reads).into_iter().map(|(_, length)| length).collect();
        assert_eq!(sizes, [1000, 2000, 4000, 8000, 16_000, 32_000, 37_000, 100_000, 100_000, 1000, 1000, 10]);
    }

    #[test]
    fn a_chunk_that_is_begun_behind_another_takes_one_request() {
        const HEAD: u64 = 300;
        let numbers = Numbers::default();
        let mut windows = Windows::of(&numbers);
        for chunk in 0..3 {
            let (head, length) = windows.begin(&Sha1([chunk; 20]), HEAD as usize, 0).unwrap();
            assert!(head.iter().copied().eq((0..HEAD).map(byte)) && length == BYTES);
            // The header is shorter than it might have been.
            for from in (120..97_000).step_by(1000) {
                let mut bytes = Vec::new();
                windows.read(&Sha1([chunk; 20]), from, 1000, BYTES - 500, &mut bytes).unwrap();
                assert!(bytes.into_iter().eq((from..from + 1000).map(byte)), "{from}");
            }
        }
        // Behind what is not wanted too.
        let (_, length) = windows.begin(&Sha1([3; 20]), HEAD as usize, 70_000).unwrap();
        let mut bytes = Vec::new();
        windows.read(&Sha1([3; 20]), 70_000, 30_000, length, &mut bytes).unwrap();
        assert!(bytes.into_iter().eq((70_000..BYTES).map(byte)));
        // Farther on it is asked for where it is wanted, and still for much.
        windows.begin(&Sha1([4; 20]), HEAD as usize, PASSED_BYTES_MAX + 1).unwrap();
        windows.read(&Sha1([4; 20]), 10_000, 90_000, BYTES, &mut Vec::new()).unwrap();
        // Who begins again, or jumps to another place, gets no more than he asks for.
        windows.begin(&Sha1([4; 20]), HEAD as usize, 0).unwrap();
        windows.begin(&Sha1([5; 20]), HEAD as usize, PASSED_BYTES_MAX + 1).unwrap();
        windows.read(&Sha1([5; 20]), 50_000, 10, BYTES, &mut Vec::new()).unwrap();
        let first =
            [(0, 300), (300, 820), (1120, 1640), (2760, 3280), (6040, 6560), (12_600, 13_120), (25_720, 26_240)];
        // How long the next is nobody knows before.
        let next = [(51_960, 47_540), (0, 104_960), (0, 2 * BYTES), (0, 2 * BYTES)];
        let last = [(0, 300), (10_000, 90_000), (0, 300), (0, 300), (50_000, 10)];
        assert_eq!(*numbers.0.lock().unwrap(), [&first[..], &next[..], &last[..]].concat());
    }

    #[test]
    fn who_reads_here_and_there_in_turns_reads_on_at_each_place() {
        let turns =
            (0..30).flat_map(|turn| [(1, turn * 1000, 1000), (2, turn * 100, 100), (1, 50_000 + turn * 1000, 1000)]);
        let asked = asked(&turns.collect::<Vec<_>>());
        assert_eq!(asked.len(), 3 * 5, "1, 2, 4, 8, 16 of each: {asked:?}");
    }

    #[test]
    fn a_server_that_gives_one_answer_at_a_time_is_asked_for_one() {
        let numbers = Numbers::default();
        let mut windows = Windows::of(&numbers);
        let mut read = |from: u64| {
            let mut bytes = Vec::new();
            let told = windows.read(&Sha1([1; 20]), from, 1000, BYTES, &mut bytes).map_err(|error| error.kind);
            told.map(|()| assert!(bytes.into_iter().eq((from..from + 1000).map(byte))))
        };
        numbers.1.store(true, Ordering::Relaxed);
        assert_eq!(read(0), Err(ErrorKind::Unreachable), "none was open");
        // Each has more to give when the third is asked for.
        for from in [0, 1000, 50_000, 51_000] {
            read(from).unwrap();
        }
        numbers.1.store(true, Ordering::Relaxed);
        for from in [20_000, 21_000, 22_000, 60_000, 61_000] {
            read(from).unwrap();
        }
        assert_eq!(windows.open.len(), 1);
    }

    #[test]
    fn what_was_asked_of_a_chunk_that_was_damaged_is_not_gone_on_with() {
        let numbers = Numbers::default();
        let mut windows = Windows::of(&numbers);
        for from in [0, 1000, 3000] {
            if from == 3000 {
                windows.forget(&Sha1([1; 20]));
            }
            windows.read(&Sha1([1; 20]), from, 1000, BYTES, &mut Vec::new()).unwrap();
        }
        assert_eq!(*numbers.0.lock().unwrap(), [(0, 1000), (1000, 2000), (3000, 1000)]);
    }

    #[test]
    fn who_jumps_asks_for_what_he_wants() {
        let jumps = [(1, 5000, 10), (1, 9000, 10), (2, 9010, 10), (2, 0, 10), (2, 10, 10), (2, 20, 15), (2, 35, 50)];
        let asked = asked(&jumps);
        assert_eq!(asked, [(5000, 10), (9000, 10), (9010, 10), (0, 10), (10, 20), (30, 40), (70, 80)]);
    }

    #[test]
    fn a_chunk_that_is_short_ends_early() {
        assert_eq!(asked(&[(1, BYTES - 5, 10), (1, 0, 5)]), [(BYTES - 5, 5), (BYTES, 1), (0, 5)]);
    }
}
