//! A small file system of its own, that can be filled and frozen without harm to others.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::steps::{self, Outcome};

/// A mounted image; unmounted with this value.
pub struct Disk {
    dir: PathBuf,
}

impl Disk {
    /// Makes one of so many bytes in `folder` and mounts it. The image is sparse: it takes what is written to it.
    pub fn new(folder: &Path, bytes: u64) -> Result<Disk, String> {
        let (image, dir) = (folder.join("disk.img"), folder.join("disk"));
        unmount(&dir);
        fs::create_dir_all(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
        let _ = fs::remove_file(&image);
        let file = fs::File::create(&image).and_then(|file| file.set_len(bytes));
        file.map_err(|error| format!("{}: {error}", image.display()))?;
        steps::command(Command::new("mkfs.ext4").args(["-q", "-F", "-m", "0"]).arg(&image))?;
        let mut mount = Command::new("mount");
        steps::command(mount.args(["-o", "loop,noatime"]).arg(&image).arg(&dir))
            .map_err(|error| format!("{error}; this needs a machine that lets root mount"))?;
        Ok(Disk { dir })
    }

    /// Where it is mounted.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Takes this much of it.
    pub fn fill(&self, bytes: u64) -> Outcome {
        let mut fill = Command::new("fallocate");
        steps::command(fill.args(["-l", &bytes.to_string()]).arg(self.dir.join("filler")))
    }

    /// Gives that back.
    pub fn free(&self) -> Outcome {
        fs::remove_file(self.dir.join("filler")).map_err(|error| format!("filler: {error}"))
    }

    /// From now on nothing that is written comes back.
    pub fn freeze(&self) -> Outcome {
        freezer(&self.dir, true)
    }

    /// What waits goes on.
    pub fn thaw(&self) -> Outcome {
        freezer(&self.dir, false)
    }
}

/// Freezes or thaws a file system.
pub fn freezer(dir: &Path, is_frozen: bool) -> Outcome {
    let mut command = Command::new("fsfreeze");
    command.arg(if is_frozen { "--freeze" } else { "--unfreeze" }).arg(dir);
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("fsfreeze: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("fsfreeze: {}", String::from_utf8_lossy(&output.stderr))),
    }
}

fn unmount(dir: &Path) {
    // Neither may be so; and a frozen file system would keep whoever unmounts it.
    let _ = freezer(dir, false);
    let mut command = Command::new("umount");
    let _ = command.arg("--lazy").arg(dir).stdout(Stdio::null()).stderr(Stdio::null()).status();
}

impl Drop for Disk {
    fn drop(&mut self) {
        unmount(&self.dir);
        // Nothing of it is of use to anybody.
        let _ = fs::remove_file(self.dir.with_extension("img"));
    }
}
