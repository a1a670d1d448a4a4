//! Where the rig may work, and what it leaves behind when it is killed: nothing that lasts.
//!
//! The rig starts itself again in a mount namespace of its own. Its mounts are invisible outside, and the kernel takes
//! them (and their loop devices, and the images, which are in a file system in memory) away when its last process has
//! ended, even after a `kill -9`. An empty folder and a lock file may stay; the next run removes those that nobody
//! holds.

use std::{
    fs::{self, File},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use rustix::mount::{UnmountFlags, unmount};

use crate::{
    At, Broken, Result,
    image::{Image, SMALL_JOURNAL_BYTES, Variant},
    mount::{Mount, SmallRequests, run},
};

/// Set in the second start.
const INSIDE: &str = "STEMEDB_RIG_INSIDE";
/// Starts the names of everything that the rig makes in the system's temporary folder.
const PREFIX: &str = "stemedb-rig-";
/// Memory for images: they are sparse, so this is a bound and not what is used.
const SCRATCH_BYTES: u64 = 1 << 30;
const TRIAL_BYTES: u64 = 32 << 20;
const TOOLS: &[&str] = &["mount", "unshare", "mkfs.ext4", "e2fsck"];

/// The rig's own folder, in memory. Dropping it removes it.
#[derive(Debug)]
pub struct Scratch {
    // In this order: unmounted first, then the lock is let go.
    mount: Mount,
    lock: Lock,
}

#[derive(Debug)]
struct Lock {
    path: PathBuf,
    _file: File,
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Goes into a mount namespace of its own (which starts this program again with the same arguments), and makes a
/// scratch folder there. The error says why the rig cannot work on this machine.
pub fn enter() -> Result<Scratch> {
    if !rustix::process::geteuid().is_root() {
        return Err(Broken("it may not mount: it is not run by root".to_owned()));
    }
    if let Some(missing) = TOOLS.iter().find(|tool| !is_there(tool)) {
        return Err(Broken(format!("the program {missing} is not installed")));
    }
    if std::env::var_os(INSIDE).is_none() {
        return Err(enter_namespace());
    }
    let scratch = Scratch::make()?;
    let trial =
        Image::make(&scratch.dir().join("trial.img"), TRIAL_BYTES, Variant::Ordered, SMALL_JOURNAL_BYTES)?;
    trial.mount(&scratch.dir().join("trial"))?;
    Ok(scratch)
}

/// Does not come back if it succeeds.
fn enter_namespace() -> Broken {
    let isolated = |program: &Path| {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "--"]).arg(program);
        command
    };
    if let Err(error) = run(&mut isolated(Path::new("true"))) {
        return Broken(format!("it may not make a mount namespace: {error}"));
    }
    match std::env::current_exe() {
        Ok(program) => {
            let error = isolated(&program).args(std::env::args_os().skip(1)).env(INSIDE, "1").exec();
            Broken(format!("unshare: {error}"))
        }
        Err(error) => Broken(format!("its own program cannot be found: {error}")),
    }
}

fn is_there(tool: &str) -> bool {
    let shown = Command::new(tool).arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status();
    shown.is_ok()
}

impl Scratch {
    fn make() -> Result<Scratch> {
        let temporary = std::env::temp_dir();
        sweep(&temporary);
        let name = format!("{PREFIX}{}", std::process::id());
        let path = temporary.join(format!("{name}.lock"));
        let file = File::create(&path).at("create", &path)?;
        file.try_lock().at("lock", &path)?;
        let lock = Lock { path, _file: file };
        let mount = Mount::memory(&temporary.join(name), SCRATCH_BYTES)?;
        Ok(Scratch { mount, lock })
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        self.mount.dir()
    }

    /// Keeps a file for people to look at, outside of the scratch folder. Returns where.
    pub fn keep(&self, name: &str, files: &[&Path], note: &str) -> Result<PathBuf> {
        let place = self.lock.path.with_file_name(format!("{PREFIX}failure-{name}"));
        fs::create_dir_all(&place).at("create", &place)?;
        for file in files {
            let to = place.join(file.file_name().unwrap_or_default());
            fs::copy(file, &to).at("copy", file)?;
        }
        let to = place.join("what.txt");
        fs::write(&to, note).at("write", &to)?;
        Ok(place)
    }
}

/// Removes what runs left behind that were killed: only what has the rig's own names and a lock that nobody holds.
fn sweep(temporary: &Path) {
    SmallRequests::sweep();
    let Ok(entries) = fs::read_dir(temporary) else { return };
    for lock in entries.flatten().map(|entry| entry.path()) {
        let name = lock.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if !name.starts_with(PREFIX) || !name.ends_with(".lock") {
            continue;
        }
        let Ok(file) = File::open(&lock) else { continue };
        if file.try_lock().is_err() {
            continue;
        }
        let place = lock.with_extension("");
        for dir in mounted_below(&place) {
            let _ = unmount(&dir, UnmountFlags::DETACH);
        }
        for device in loops_below(&place) {
            let _ = run(Command::new("losetup").arg("-d").arg(device));
        }
        // Empty, unless something of it is still mounted somewhere: then it stays.
        let _ = fs::remove_dir(&place);
        let _ = fs::remove_file(&lock);
    }
}

/// Mount points in and below a folder, the deepest first.
fn mounted_below(place: &Path) -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mut found: Vec<PathBuf> = mounts
        .lines()
        .filter_map(|line| line.split(' ').nth(1))
        .map(PathBuf::from)
        .filter(|dir| dir.starts_with(place))
        .collect();
    found.reverse();
    found
}

/// Loop devices whose file is below a folder.
fn loops_below(place: &Path) -> Vec<PathBuf> {
    let Ok(devices) = fs::read_dir("/sys/block") else { return Vec::new() };
    let backed = |device: &PathBuf| {
        fs::read_to_string(device.join("loop/backing_file"))
            .is_ok_and(|file| Path::new(file.trim_end()).starts_with(place))
    };
    let devices = devices.flatten().map(|entry| entry.path()).filter(backed);
    devices.filter_map(|device| Some(Path::new("/dev").join(device.file_name()?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leftovers_that_nobody_holds_are_removed_and_others_are_not() {
        let place = std::env::temp_dir().join(format!("rig-sweep-{}", std::process::id()));
        fs::create_dir_all(place.join("stemedb-rig-1")).unwrap();
        fs::create_dir_all(place.join("stemedb-rig-2")).unwrap();
        fs::create_dir_all(place.join("stemedb-rig-failure-3")).unwrap();
        File::create(place.join("stemedb-rig-1.lock")).unwrap();
        let held = File::create(place.join("stemedb-rig-2.lock")).unwrap();
        held.try_lock().unwrap();
        sweep(&place);
        assert!(!place.join("stemedb-rig-1").exists() && !place.join("stemedb-rig-1.lock").exists());
        assert!(place.join("stemedb-rig-2").exists() && place.join("stemedb-rig-2.lock").exists());
        assert!(place.join("stemedb-rig-failure-3").exists());
        fs::remove_dir_all(&place).unwrap();
    }
}
