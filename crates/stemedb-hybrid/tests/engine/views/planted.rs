//! Defects on purpose: the tests of this folder must notice each. Run with `--features planted`.

use std::process::Command;

use stemedb_env::planted::VIEWS;

#[test]
fn planted_defects_are_noticed() {
    let myself = std::env::current_exe().unwrap();
    let run = |name: &str| {
        let mut command = Command::new(&myself);
        command.args(["views::lost", "views::modes"]).env("STEMEDB_PLANTED", name);
        command.output().unwrap().status.success()
    };
    for bug in VIEWS {
        assert!(!run(&bug.name()), "{bug:?} is not noticed");
    }
}
