//! Backups, removals and collections in every order, each cut off at every call, from one box and from two: whatever is listed restores
//! at every moment, what is begun again ends well, and then nothing lies there that nobody needs.

use brackup::monitor::Quiet;
use brackup::policy::Policy;
use brackup::target::Target;

use crate::support::{Between, Fault, How, Nas, Tree, noise, settle};

/// What a box does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// It backs up what was never there before.
    New,
    /// It backs up what was there at first: pieces that may be known, marked, going or gone.
    Old,
    /// All but the newest backup go.
    Prune,
    /// What is not needed goes at once.
    Collect,
}

const STEPS: [Step; 4] = [Step::New, Step::Old, Step::Prune, Step::Collect];

/// A box after some steps, and the tree that it backs up.
struct World {
    nas: Nas,
    tree: Tree,
}

impl World {
    fn new() -> Self {
        let tree = Tree::new();
        tree.file("always", noise(1, 40_000));
        let world = Self { nas: Nas::new(), tree };
        world.set(Step::Old, 0);
        world.nas.backup(&world.tree);
        world
    }

    /// The tree as a step wants it.
    fn set(&self, step: Step, salt: u64) {
        match step {
            Step::New => self.tree.file("changing", noise(1000 + salt, 50_000)),
            Step::Old => self.tree.file("changing", noise(2, 50_000)),
            Step::Prune | Step::Collect => return,
        };
        settle();
    }

    fn after(&self, steps: &[Step]) -> Nas {
        let nas = self.nas.copy();
        for (salt, step) in steps.iter().enumerate() {
            self.set(*step, salt as u64);
            try_step(&nas, &self.tree, *step, &nas.target()).unwrap();
        }
        nas
    }

    /// All that is listed is there; then a backup, a removal and a collection go well, and clean up.
    fn is_well_and_goes_on(&self, nas: &Nas, what: &str) {
        assert_eq!(nas.verify_with_key().unwrap(), [], "{what}");
        let done = nas.backup(&self.tree);
        self.tree.snapshot().assert_same(&nas.restore(&done.name()).snapshot());
        for step in [Step::Prune, Step::Collect] {
            try_step(nas, &self.tree, step, &nas.target()).unwrap_or_else(|error| panic!("{what}: {step:?}: {error}"));
        }
        assert_eq!((nas.verify().unwrap(), nas.verify_with_key().unwrap()), (vec![], vec![]), "{what}");
        nas.assert_all_remembered();
        self.tree.snapshot().assert_same(&nas.restore(&done.name()).snapshot());
        nas.assert_nothing_else_is_there();
    }
}

fn try_step(nas: &Nas, tree: &Tree, step: Step, target: &dyn Target) -> Result<(), String> {
    let policy = Policy { last: Some(1), ..Policy::default() };
    match step {
        Step::New | Step::Old => {
            nas.try_backup(&tree.root, target, &Quiet::default()).map(drop).map_err(|error| error.to_string())
        }
        Step::Prune => nas.try_prune(target, &policy).map(drop).map_err(|error| error.to_string()),
        Step::Collect => nas.try_gc(target, 0, None).map(drop).map_err(|error| error.to_string()),
    }
}

/// Every sequence of two steps; the second is cut off at each call to the target.
fn cut_off_at_the_target(first: Step) {
    let world = World::new();
    for second in STEPS {
        let before = world.after(&[first]);
        for number in 1.. {
            let nas = before.copy();
            world.set(second, 7);
            let folder = nas.target();
            let fault = Fault::over(&folder, number, How::Stop);
            let failed = try_step(&nas, &world.tree, second, &fault).is_err();
            world.is_well_and_goes_on(&nas, &format!("{first:?}, {second:?}, call {number}: {:?}", fault.failed()));
            if fault.calls() < number {
                assert!(!failed && number > 1, "{second:?}: {number} calls are all there are");
                break;
            }
        }
    }
}

#[test]
fn after_something_new_at_every_call_to_the_target() {
    cut_off_at_the_target(Step::New);
}

#[test]
fn after_something_old_at_every_call_to_the_target() {
    cut_off_at_the_target(Step::Old);
}

#[test]
fn after_a_removal_at_every_call_to_the_target() {
    cut_off_at_the_target(Step::Prune);
}

#[test]
fn after_a_collection_at_every_call_to_the_target() {
    cut_off_at_the_target(Step::Collect);
}

/// The database fails at each call: then it has what was committed, as after a power cut.
fn cut_off_at_the_database(steps: &[Step], last: Step) {
    let world = World::new();
    let before = world.after(steps);
    let mut calls = 0;
    loop {
        let mut nas = before.copy();
        world.set(last, 7);
        nas.db_calls = Some(calls);
        let failed = try_step(&nas, &world.tree, last, &nas.target()).is_err();
        nas.db_calls = None;
        world.is_well_and_goes_on(&nas, &format!("{steps:?}, {last:?}, call {calls} to the database"));
        if !failed {
            assert!(calls > 10, "{calls} calls are all there are");
            break;
        }
        calls += 1;
        assert!(calls < 1000, "it fails whatever happens");
    }
}

#[test]
fn a_collection_at_every_call_to_the_database() {
    cut_off_at_the_database(&[Step::New, Step::New, Step::Prune], Step::Collect);
}

#[test]
fn a_backup_behind_a_collection_at_every_call_to_the_database() {
    cut_off_at_the_database(&[Step::New, Step::New, Step::Prune, Step::Collect], Step::New);
}

/// Another box does a whole step at each call of this one.
#[test]
fn another_box_at_every_call() {
    for own in STEPS {
        for others in STEPS {
            let world = World::new();
            // The other box shares the target. It has a root of the same name: names collide, keys do not.
            let mut other = World { nas: Nas::new(), tree: Tree::new() };
            other.nas.folder.clone_from(&world.nas.folder);
            other.set(Step::Old, 0);
            other.nas.backup(&other.tree);
            for (salt, step) in [Step::New, Step::New, Step::Prune].into_iter().enumerate() {
                for (box_of, salt) in [(&world, salt as u64), (&other, 50 + salt as u64)] {
                    box_of.set(step, salt);
                    try_step(&box_of.nas, &box_of.tree, step, &box_of.nas.target()).unwrap();
                }
            }
            let mut number = 0;
            loop {
                number += 1;
                world.set(own, 100 + number as u64);
                other.set(others, 500 + number as u64);
                let folder = world.nas.target();
                let meet = || {
                    // Both may take one name: one of them is told so, and takes the next the next time.
                    let _ = try_step(&other.nas, &other.tree, others, &other.nas.target());
                };
                let between = Between::over(&folder, number, &meet);
                let _ = try_step(&world.nas, &world.tree, own, &between);
                let calls = between.calls();
                for (one, tree) in [(&world.nas, &world.tree), (&other.nas, &other.tree)] {
                    let done = one.backup(tree);
                    tree.snapshot().assert_same(&one.restore(&done.name()).snapshot());
                }
                assert_eq!(world.nas.verify().unwrap(), [], "{own:?}, {others:?} at call {number}");
                assert_eq!(other.nas.verify().unwrap(), [], "{own:?}, {others:?} at call {number}");
                if calls < number {
                    break;
                }
            }
        }
    }
}
