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
    /// Three backups, of which one is left: there is something to collect, and something that would be needed again.
    fn new() -> Self {
        let world = Self { nas: Nas::new(), tree: Tree::new() };
        world.begin();
        world
    }

    /// Another box at the same target, and its own tree.
    fn beside(other: &Self) -> Self {
        let mut world = Self { nas: Nas::new(), tree: Tree::new() };
        world.nas.folder.clone_from(&other.nas.folder);
        world.begin();
        world
    }

    fn begin(&self) {
        self.tree.file("always", noise(1, 40_000));
        for (salt, step) in [Step::Old, Step::New, Step::New, Step::Prune].into_iter().enumerate() {
            self.set(step, 100 + salt as u64);
            try_step(&self.nas, &self.tree, step, &self.nas.target()).unwrap();
        }
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
            let chunks = nas.files(".chunk").len();
            let failed = try_step(&nas, &world.tree, second, &fault).is_err();
            let is_cut = fault.calls() >= number;
            // Where there is garbage, a collection that is not cut off takes it.
            assert!(is_cut || second != Step::Collect || first == Step::Collect || nas.files(".chunk").len() < chunks);
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
    cut_off_at_the_database(&[Step::Old], Step::Collect);
}

#[test]
fn a_backup_behind_a_collection_at_every_call_to_the_database() {
    cut_off_at_the_database(&[Step::Collect], Step::New);
}

/// Another box does a whole step at each call of this one.
#[test]
fn another_box_at_every_call() {
    let world = World::new();
    let other = World::beside(&world);
    for own in STEPS {
        for others in STEPS {
            let mut collected = 0;
            for number in 1.. {
                // Copies of both, at a copy of the target that they share.
                let (one, mut two) = (world.nas.copy(), other.nas.copy());
                two.folder.clone_from(&one.folder);
                world.set(own, 1000 + number as u64);
                other.set(others, 2000 + number as u64);
                let before = one.files(".chunk");
                let folder = one.target();
                let met = std::sync::Mutex::new(Ok(()));
                let meet = || *met.lock().unwrap() = try_step(&two, &other.tree, others, &two.target());
                let between = Between::over(&folder, number, &meet);
                let done = try_step(&one, &world.tree, own, &between);
                let what = format!("{own:?}, {others:?} at call {number}");
                collected += before.iter().filter(|path| !path.exists()).count();
                // Both may want one name: then one of them is told so, and takes the next the next time.
                let is_backup = |step| matches!(step, Step::New | Step::Old);
                assert!(done.is_ok() || is_backup(own) && is_backup(others), "{what}: {done:?}");
                let met = met.lock().unwrap().clone();
                assert!(met.is_ok(), "{what}: {met:?}");
                for (nas, tree) in [(&one, &world.tree), (&two, &other.tree)] {
                    let done = nas.backup(tree);
                    tree.snapshot().assert_same(&nas.restore(&done.name()).snapshot());
                    assert_eq!(nas.verify().unwrap(), [], "{what}");
                }
                if between.calls() < number {
                    break;
                }
            }
            assert!(collected > 0 || (own != Step::Collect && others != Step::Collect), "{own:?}, {others:?}");
        }
    }
}
