//! A mounted file system, as a guard: dropped, it is unmounted and its loop device is free again.
//!
//! `mount -o loop` marks the device as "clear when closed", so nothing has to be detached: the unmount does it, also
//! the one that the kernel does when the last process of the rig's mount namespace has ended, however it ended.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::mount::{UnmountFlags, unmount};

use crate::{At, Broken, Result};

/// A mount point that is in use while this value lives.
#[derive(Debug)]
pub struct Mount {
    dir: PathBuf,
}

impl Mount {
    /// Mounts the file system in the file `image` on `dir`, which is made if it is absent.
    pub fn image(image: &Path, dir: &Path, options: &str) -> Result<Mount> {
        let options = format!("loop,noatime,{options}");
        Mount::with(dir, |command| command.args(["-t", "ext4", "-o", &options]).arg(image))
    }

    /// Mounts an empty file system in memory that can hold `bytes`.
    pub fn memory(dir: &Path, bytes: u64) -> Result<Mount> {
        let options = format!("size={bytes},mode=700");
        Mount::with(dir, |command| command.args(["-t", "tmpfs", "-o", &options, "stemedb-rig"]))
    }

    fn with(dir: &Path, arguments: impl FnOnce(&mut Command) -> &mut Command) -> Result<Mount> {
        fs::create_dir_all(dir).at("create", dir)?;
        let mut command = Command::new("mount");
        arguments(&mut command);
        run(command.arg(dir))?;
        Ok(Mount { dir: dir.to_path_buf() })
    }

    /// Where it is mounted.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The block device below, as a path and as its folder of attributes.
    pub fn device(&self) -> Result<(PathBuf, PathBuf)> {
        let number = fs::metadata(&self.dir).at("stat", &self.dir)?.dev();
        let (major, minor) = (rustix::fs::major(number), rustix::fs::minor(number));
        let attributes = PathBuf::from(format!("/sys/dev/block/{major}:{minor}"));
        let target = fs::read_link(&attributes).at("read the link", &attributes)?;
        let name = target.file_name().unwrap_or_default();
        Ok((Path::new("/dev").join(name), attributes))
    }

    /// Waits until the device has nothing under way, at most 50 ms.
    pub fn settle(&self) -> Result<()> {
        let inflight = self.device()?.1.join("inflight");
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(50) {
            let text = fs::read_to_string(&inflight).at("read", &inflight)?;
            if text.split_whitespace().all(|count| count == "0") {
                break;
            }
            thread::sleep(Duration::from_micros(200));
        }
        Ok(())
    }
}

/// The largest request of a loop device, set to one page while this value lives.
///
/// When the file below a loop device takes only a part of a write because its disk is full, the loop driver (as of
/// Linux 6.18) reports the whole request as done: a device that lies, of which nothing above can know. A request of one
/// page is taken as a whole or fails.
#[derive(Debug)]
pub struct SmallRequests {
    limit: PathBuf,
}

/// In KiB, as the kernel writes it.
const PAGE: &str = "4";
/// Which limit that is, below a device's folder.
const LIMIT: &str = "queue/max_sectors_kb";

impl SmallRequests {
    /// For the device below a mounted image.
    pub fn of(mount: &Mount) -> Result<SmallRequests> {
        let limit = mount.device()?.1.join(LIMIT);
        fs::write(&limit, PAGE).at("write", &limit)?;
        Ok(SmallRequests { limit })
    }

    /// Gives back what a killed run left behind: the limit of loop devices that nobody uses.
    pub(crate) fn sweep() {
        let Ok(devices) = fs::read_dir("/sys/block") else { return };
        for device in devices.flatten() {
            let (path, limit) = (device.path(), device.path().join(LIMIT));
            let is_loop = device.file_name().to_string_lossy().starts_with("loop");
            let is_small = fs::read_to_string(&limit).is_ok_and(|text| text.trim_end() == PAGE);
            if is_loop && is_small && !path.join("loop/backing_file").exists() {
                reset(&limit);
            }
        }
    }
}

fn reset(limit: &Path) {
    // Zero stands for the kernel's own choice.
    let _ = fs::write(limit, "0");
}

impl Drop for SmallRequests {
    fn drop(&mut self) {
        reset(&self.limit);
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // A process that was just killed may still be letting go of its files.
        for _ in 0..50 {
            match unmount(&self.dir, UnmountFlags::empty()) {
                Ok(()) => {
                    let _ = fs::remove_dir(&self.dir);
                    return;
                }
                Err(rustix::io::Errno::BUSY) => thread::sleep(Duration::from_millis(5)),
                Err(_) => break,
            }
        }
        let _ = unmount(&self.dir, UnmountFlags::DETACH);
        let _ = fs::remove_dir(&self.dir);
    }
}

/// Runs a command to its end; what it printed is in the error.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| Broken(format!("{}: {error}", command.get_program().display())))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stderr, output.stdout].concat();
    let said = String::from_utf8_lossy(&said).trim().replace('\n', "; ");
    Err(Broken(format!("{}: {}: {said}", command.get_program().display(), output.status)))
}
