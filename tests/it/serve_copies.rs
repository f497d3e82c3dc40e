//! What a job of `brackup serve` copies on by itself: what others have stored on this box, which can't read it.

use std::fs;
use std::path::PathBuf;

use brackup::db::{Db, Deed, JobEnd, JobRun, Past};
use brackup::outcome::Outcome;
use serde_json::Value;

use crate::serve::{add, has_ended_well, serve, small_tree};
use crate::support::{Program, Tree, code, stderr, wait_until};

/// A desk that stores in a folder of a NAS, whose job copies all that is there to another one.
struct House {
    tree: Tree,
    desk: Program,
    nas: Program,
    far: PathBuf,
}

/// As if the last run of a job, if it had one, had been a day before.
pub(crate) fn a_night_goes_by(program: &Program, job: &str) {
    let state = program.home().join("state");
    if state.join("brackup.db").exists() {
        let db = Db::open(&state).unwrap();
        let ran = db.job_runs().unwrap()[job];
        let end = ran.end.map(|end| JobEnd { at: end.at - 86_400, ..end });
        db.remember_job_run(job, &JobRun { began: ran.began - 86_400, end, tries: 1 }).unwrap();
    }
}

impl House {
    fn new(job: &str) -> Self {
        let tree = small_tree();
        let (desk, nas) = (Program::new(&tree.root), Program::new(&tree.root));
        let far = nas.home().join("far");
        let folders = format!(
            "[TARGET:desk]\ntype = Filesystem\npath = {}\n[TARGET:far]\ntype = Filesystem\npath = {}\n",
            desk.folder.display(),
            far.display()
        );
        let job = format!("[JOB:onward]\ncopy_from = desk\nto = far\nat = 02:30\n{job}");
        add(&nas, &format!("[SERVE]\npage = no\n{folders}{job}"));
        let house = Self { tree, desk, nas, far };
        house.back_up();
        house
    }

    fn back_up(&self) {
        let output = self.desk.backup();
        assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    }

    fn db(&self) -> Db {
        Db::open(&self.nas.home().join("state")).unwrap()
    }

    /// Runs the job as if a night had gone by; gives the log.
    fn night(&self) -> String {
        a_night_goes_by(&self.nas, "onward");
        let mut service = serve(&self.nas);
        service.says("waiting: next is job onward");
        has_ended_well(service)
    }

    fn outcome(&self) -> Option<Outcome> {
        self.db().job_runs().unwrap()["onward"].end.map(|end| end.outcome)
    }

    /// What is remembered of its copies.
    fn copies(&self) -> Vec<Past> {
        let past = self.db().past().unwrap().into_iter();
        past.filter(|past| past.what == Deed::Copy && past.source == "desk" && past.target == "far").collect()
    }

    /// What `brackup status` says of the copy, and on a terminal.
    fn status(&self) -> (Value, String) {
        let output = self.nas.run(&["status", "--json"]);
        let status: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", stderr(&output)));
        let pairs = status["pairs"].as_array().unwrap();
        let pair = pairs.iter().find(|pair| pair["is_copy"] == true && pair["source"] == "desk").unwrap().clone();
        (pair, String::from_utf8(self.nas.run(&["status"]).stdout).unwrap())
    }

    /// With the key of the desk, without its folder on the NAS.
    fn comes_back(&self) {
        let away = self.desk.folder.with_extension("away");
        fs::rename(&self.desk.folder, &away).unwrap();
        let (back, from) = (Tree::absent(), format!("filesystem:{}", self.far.display()));
        let (to, key) = (back.root.to_str().unwrap(), self.desk.key.to_str().unwrap());
        let output = self.desk.run(&["restore", "tree:latest", "--from", &from, "--to", to, "--key", key]);
        assert_eq!(code(&output), Some(0), "{}", stderr(&output));
        self.tree.snapshot().assert_same(&back.snapshot());
        fs::rename(&away, &self.desk.folder).unwrap();
    }

    /// One chunk that the desk has stored is not what its name says.
    fn damage(&self) -> PathBuf {
        let files = fs::read_dir(&self.desk.folder).unwrap().map(|entry| entry.unwrap().path());
        let chunk = files.into_iter().find(|path| path.extension().is_some_and(|kind| kind == "chunk")).unwrap();
        let mut bytes = fs::read(&chunk).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&chunk, bytes).unwrap();
        chunk
    }
}

#[test]
fn what_others_have_stored_goes_on_at_night() {
    let house = House::new("verify = 100%\n");
    let log = house.night();
    assert!(log.contains("brackup: job onward: copy of desk to far: done: copied 1 backup in 1 chunk, "), "{log}");
    assert!(log.contains("brackup: job onward: verify at far: done: read 1 chunk of 1, 0 were never read"), "{log}");
    house.comes_back();
    house.tree.file("another", "Dear all");
    house.back_up();
    let log = house.night();
    assert!(log.contains("done: copied 1 backup in 1 chunk, ") && log.contains("; 1 backup and 1 chunk were there"));
    house.comes_back();
    let copies: Vec<_> = house.copies().iter().map(|past| (past.outcome, past.files, past.problems)).collect();
    assert_eq!((copies, house.outcome()), (vec![(Outcome::Done, 1, 0), (Outcome::Done, 2, 0)], Some(Outcome::Done)));
    assert!(house.db().good_runs().unwrap()["onward"].is_good);
    let (pair, text) = house.status();
    assert_eq!((&pair["job"], &pair["level"], &pair["backups"]), (&"onward".into(), &"safe".into(), &2.into()));
    assert!(pair["last_good"].is_string() && pair["last_copy"]["outcome"] == 0, "{pair}");
    assert!(pair["nights"].as_array().unwrap().len() == 2 && pair["last_verify"]["outcome"] == 0, "{pair}");
    assert!(text.contains("\ndesk to far: Copied ") && text.contains("  last good copy     20"), "{text}");
    assert!(text.contains("  backups there      2; ") && !text.contains("unpacked"), "{text}");
}

#[test]
fn what_could_not_be_copied_is_told_everywhere() {
    let house = House::new("");
    let heard = house.nas.home().join("heard");
    let command = format!("printf %s \"$BRACKUP_MESSAGE\" > {0}.part; mv {0}.part {0}", heard.display());
    add(&house.nas, &format!("[ALERT:owner]\ntype = command\ncommand = {command}\n"));
    house.damage();
    let mut service = serve(&house.nas);
    service.says("waiting: next is job onward");
    wait_until("an alert", || heard.exists());
    let log = has_ended_well(service);
    assert!(log.contains("brackup: problem: job onward: copy of desk to far: "), "{log}");
    assert!(log.contains("warning: job onward: copy of desk to far: done with 2 problems: copied 0 backups"), "{log}");
    let told = fs::read_to_string(heard).unwrap();
    assert_eq!(told, "job onward: failed: copy of desk to far: 2 problems");
    assert_eq!(house.outcome(), Some(Outcome::Failed));
    assert!(!house.db().good_runs().unwrap()["onward"].is_good, "that it is overdue is to be told");
    let copies = house.copies();
    assert!(copies.len() == 1 && copies[0].words.contains(".chunk: is not copied"), "{copies:?}");
    let (pair, text) = house.status();
    assert_eq!(pair["level"], "danger");
    assert!(text.contains("desk to far: No copy of all of it has come to be yet.") && text.contains("  problem: "));
}

/// What the message about a damaged chunk says is done, and helps.
#[test]
fn where_a_chunk_is_damaged_the_way_out_is_told_and_is_one() {
    let house = House::new("");
    let chunk = house.damage();
    for _ in 0..2 {
        house.tree.file("another", "Dear all");
        house.back_up();
        let log = house.night();
        let place = format!("damaged at filesystem:{}: move that file away", house.desk.folder.display());
        let name = chunk.file_name().unwrap().to_str().unwrap();
        assert!(log.contains(&format!("{name}: is not copied, nor is ")) && log.contains(&place), "{log}");
        assert!(log.contains("copied 0 backups"), "{log}");
    }
    fs::remove_file(&chunk).unwrap();
    let verified = house.desk.run(&["verify", "disk", "--no-key"]);
    assert_eq!(code(&verified), Some(3), "{}", stderr(&verified));
    house.back_up();
    let log = house.night();
    assert!(log.contains("copy of desk to far: done: copied 4 backups in "), "{log}");
    house.comes_back();
    let (pair, _) = house.status();
    assert_eq!((&pair["level"], house.outcome()), (&"safe".into(), Some(Outcome::Done)));
}

#[test]
fn a_copy_that_fails_is_no_good_run() {
    let house = House::new("");
    fs::create_dir(&house.far).unwrap();
    fs::write(house.far.join("brackup-target.id"), "this is none").unwrap();
    let log = house.night();
    assert!(log.contains("brackup: error: job onward: copy of desk to far: failed: "), "{log}");
    assert_eq!((house.outcome(), house.copies()[0].outcome), (Some(Outcome::Failed), Outcome::Failed));
    assert!(!house.db().good_runs().unwrap()["onward"].is_good, "else nobody is told that it is overdue");
}

#[test]
fn a_folder_that_is_away_is_waited_for() {
    let house = House::new("");
    let away = house.desk.folder.with_extension("away");
    fs::rename(&house.desk.folder, &away).unwrap();
    let mut service = serve(&house.nas);
    service.says("brackup: error: job onward: failed: copy of desk to far: the target's folder ");
    service.says("it is tried again every few minutes");
    has_ended_well(service);
    assert_eq!(house.copies(), []);
    assert!(house.db().job_runs().unwrap().is_empty());
    // Its mount point is there, and nothing is mounted.
    fs::create_dir(&house.desk.folder).unwrap();
    let mut service = serve(&house.nas);
    service.says("brackup: error: job onward: failed: copy of desk to far: nothing of Brackup's is there");
    service.says("it is tried again every few minutes");
    has_ended_well(service);
    assert_eq!(house.copies(), []);
    fs::remove_dir(&house.desk.folder).unwrap();
    fs::rename(&away, &house.desk.folder).unwrap();
    let mut service = serve(&house.nas);
    service.says("copy of desk to far: done: copied 1 backup");
    has_ended_well(service);
}

#[test]
fn a_backup_that_fails_keeps_no_copy_from_being_made() {
    let house = House::new("from = tree\npost = test \"$BRACKUP_COPY_FROM $BRACKUP_OUTCOME\" = \"desk failed\"\n");
    fs::rename(&house.tree.root, house.tree.root.with_extension("away")).unwrap();
    let log = house.night();
    fs::rename(house.tree.root.with_extension("away"), &house.tree.root).unwrap();
    assert!(log.contains("brackup: error: job onward: tree to far: failed: "), "{log}");
    assert!(log.contains("copy of desk to far: done: copied 1 backup in 1 chunk"), "{log}");
    assert_eq!((house.outcome(), &house.status().0["last_post"]["outcome"]), (Some(Outcome::Failed), &0.into()));
    house.comes_back();
    let log = house.night();
    assert!(log.contains("tree to far: done: tree-") && log.contains("copy of desk to far: "), "{log}");
    let (pair, text) = house.status();
    assert_eq!((&pair["target"], pair["last_post"]["outcome"].as_u64()), (&"far".into(), Some(1)));
    assert!(text.contains("\ntree to far: "), "{text}");
}
