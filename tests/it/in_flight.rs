//! How many chunks are on their way to a target at a time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use brackup::monitor::Quiet;

use crate::support::{Nas, Told, Tree, noise};

const WAIT_MAX: Duration = Duration::from_secs(30);

#[test]
fn as_many_chunks_are_on_their_way_as_there_are_connections() {
    for connections in [1, 4] {
        let mut nas = Nas::new();
        (nas.chunk_bytes, nas.connections) = (64 << 10, connections);
        let tree = Tree::new();
        tree.file("noise", noise(1, 1_000_000));
        let (began, now, most) = (Instant::now(), AtomicUsize::new(0), AtomicUsize::new(0));
        // Keeps chunks on their way until so many were there at a time. The metafile goes alone.
        let begins = |what: &str| {
            if what != "put" {
                return;
            }
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            while most.load(Ordering::SeqCst) < connections && began.elapsed() < WAIT_MAX {
                std::thread::sleep(Duration::from_millis(5));
            }
        };
        let ends = |what: &str| {
            now.fetch_sub(usize::from(what == "put"), Ordering::SeqCst);
        };
        let told = Told { inner: &nas.target(), begins: &begins, ends: &ends };
        nas.try_backup(&tree.root, &told, &Quiet::default()).unwrap();
        assert_eq!(most.load(Ordering::SeqCst), connections);
    }
}
