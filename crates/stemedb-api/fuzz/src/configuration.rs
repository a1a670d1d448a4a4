//! Any bytes as a configuration: settings, or problems with places that lie in the text.

use std::{ffi::OsString, os::unix::ffi::OsStringExt, path::Path};

use stemedb_api::config::{DEFAULT_FILE, Origin, Sources, load};
use stemedb_env::{Env, OpenMode};

/// Flags whose values are read in each of the ways that there are.
const FLAGS: [&str; 4] = ["bind", "cache-mib", "disk-low", "auth"];
const VARIABLES: [&str; 4] = ["STEMEDB_BIND", "STEMEDB_CACHE_MIB", "STEMEDB_DISK_LOW", "STEMEDB_AUTH"];

/// The first byte: a file, the value of a variable, or that of a flag.
pub fn run(data: &[u8]) {
    let Some((chosen, rest)) = data.split_first() else { return };
    let (env, _sim) = Env::sim(1);
    let mut sources =
        Sources { file: None, default_file: DEFAULT_FILE.into(), variables: Vec::new(), flags: Vec::new() };
    let value = OsString::from_vec(rest.to_vec());
    match chosen {
        0..8 if chosen % 2 == 0 => {
            sources.flags.push((FLAGS[usize::from(chosen / 2)], value));
        }
        0..8 => sources.variables.push((VARIABLES[usize::from(chosen / 2)].into(), value)),
        _ => write(&env, rest),
    }
    let problems = match load(&env, &sources) {
        Ok(config) => {
            let _ = config.settings();
            return;
        }
        Err(problems) => problems,
    };
    assert!(problems.count() > 0);
    let lines = rest.iter().filter(|byte| **byte == b'\n').count() + 1;
    let longest = rest.split(|byte| *byte == b'\n').map(<[u8]>::len).max().unwrap_or(0);
    for problem in problems.iter() {
        assert!(!problem.to_string().contains('\n'), "{problem}");
        if let Some(Origin::File { line, column, .. }) = problem.origin() {
            assert!((1..=lines).contains(line) && (1..=longest + 1).contains(column), "{problem}");
        }
    }
}

fn write(env: &Env, bytes: &[u8]) {
    let path = Path::new(DEFAULT_FILE);
    let folder = path.parent().unwrap_or(path);
    let written = env.fs.create_dir(folder).and_then(|()| env.fs.open(path, OpenMode::CreateNew));
    let written = written.and_then(|file| file.write_all_at(bytes, 0));
    assert!(written.is_ok(), "the simulated disk takes a file");
}
