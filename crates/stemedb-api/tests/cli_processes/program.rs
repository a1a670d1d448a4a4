//! The program under test.

use std::{
    ffi::OsStr,
    io::Write,
    path::PathBuf,
    process::{Command, Stdio},
};

/// What a run of the program left behind.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ran {
    /// The run, which must have succeeded.
    #[track_caller]
    pub fn ok(self) -> Ran {
        assert_eq!(self.code, Some(0), "{self:?}");
        self
    }

    /// The number behind a name in a summary.
    #[track_caller]
    pub fn number(&self, name: &str) -> u64 {
        let line = self.out.lines().find_map(|line| line.strip_prefix(name));
        let line = line.unwrap_or_else(|| panic!("no {name:?} in {self:?}"));
        line.split_whitespace().next().unwrap().replace(',', "").parse().unwrap()
    }
}

/// A command that runs the program, without colours of the caller's environment.
pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stemedb-api"));
    command.env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE").stdin(Stdio::null());
    command
}

/// Runs the program to its end.
pub fn run<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Ran {
    finished(program().args(arguments).output().unwrap())
}

/// Runs the program with something on its standard input.
pub fn run_with_input<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>, input: Vec<u8>) -> Ran {
    let mut child = program()
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(&input).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    finished(output)
}

fn finished(output: std::process::Output) -> Ran {
    Ran {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A file of the examples.
pub fn example(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "..", "..", "examples", "data", name].iter().collect()
}

/// Imports the committed sample with its sources.
pub fn import_sample(dir: &std::path::Path) -> Ran {
    let (claims, sources) = (example("chemistry-sample.jsonl"), example("sources.json"));
    run([
        "import".as_ref(),
        "--data-dir".as_ref(),
        dir.as_os_str(),
        claims.as_os_str(),
        "--sources".as_ref(),
        sources.as_os_str(),
    ])
}
