//! Files that the system's own programs wrote, and what these programs say of ours. Each test is skipped, with a line that
//! says so, where a program is not installed.

use std::process::{Command, Output};

use stemedb_env::{Fs, OpenMode, fs::RealFs};

use super::*;

/// Runs a program in `dir`. `None` if it is not installed.
fn run(dir: &Path, line: &str) -> Option<Output> {
    let (program, arguments) = line.split_once(' ').unwrap();
    match Command::new(program).args(arguments.split(' ')).current_dir(dir).output() {
        Ok(output) => Some(output),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // Not `eprintln!`, which is heard only where a test fails.
            let _ = writeln!(io::stderr(), "SKIPPED: `{line}`: {program} is not installed");
            None
        }
        Err(error) => panic!("{line}: {error}"),
    }
}

/// Runs a program that must succeed.
fn run_well(dir: &Path, line: &str) -> Option<Vec<u8>> {
    let output = run(dir, line)?;
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    Some(output.stdout)
}

/// A folder with files of these contents.
fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let file = RealFs::new().open(&folder.path().join(name), OpenMode::CreateNew).unwrap();
        file.write_all_at(bytes, 0).unwrap();
    }
    folder
}

#[test]
fn what_gzip_pigz_and_zstd_write_is_read() {
    // Larger than the largest window, so that a frame does not shrink its window to the content.
    let plain = journal_like((9 << 20) + 777, 1);
    let folder = folder(&[("plain", &plain)]);
    for line in [
        "gzip -c plain",
        "gzip -1 -c plain",
        "gzip -9 -c plain",
        "gzip -n -c plain",
        "pigz -c plain",
        "pigz -9 -p 3 -b 128 -c plain",
        "zstd -c plain",
        "zstd -1 -c plain",
        "zstd -9 -c plain",
        "zstd -19 -c plain",
        "zstd -19 --long=23 -c plain",
        "zstd -T2 --rsyncable -c plain",
        "zstd --no-check -c plain",
        "zstd --no-content-size -c plain",
        "pzstd -p 2 -c plain",
    ] {
        let Some(packed) = run_well(folder.path(), line) else { continue };
        let format = if line.contains("zstd") { PackedFormat::Zstd } else { PackedFormat::Gzip };
        let file = open([packed.clone(), packed].concat(), format).unwrap();
        assert_eq!(file.len().unwrap(), 2 * plain.len() as u64, "{line}");
        let whole = read_all(&*file, 300_000).unwrap();
        assert!(whole[..plain.len()] == plain && whole[plain.len()..] == plain, "{line}");
    }
}

#[test]
fn a_window_beyond_the_limit_is_refused_by_name() {
    let plain = journal_like(9 << 20, 2);
    let folder = folder(&[("plain", &plain)]);
    if let Some(packed) = run_well(folder.path(), "zstd -3 --long=24 --no-content-size -c plain") {
        let error = open(packed, PackedFormat::Zstd).unwrap().len().unwrap_err();
        let expected = PackedError::Window { window_bytes: 1 << 24 };
        assert_eq!(PackedError::of(&error), Some(expected));
        assert!(error.to_string().contains("16777216 bytes, more than 8388608"), "{error}");
    }
}

#[test]
fn what_we_write_is_read_by_zstd() {
    for len in [0, 5, 1 << 20, (5 << 20) + 99] {
        let plain = journal_like(len, 3);
        let folder = folder(&[("ours.zst", &packed_by_us(&plain, 1 << 20))]);
        let Some(unpacked) = run_well(folder.path(), "zstd -d -c ours.zst") else { return };
        assert!(unpacked == plain, "{len} bytes");
        run_well(folder.path(), "zstd -t ours.zst");
        run_well(folder.path(), "zstd -l ours.zst");
    }
}
