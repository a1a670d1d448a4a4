//! What can go wrong with a server and its machine, brought about for real, and which alerts must come of it.

use std::{
    fs,
    io::{Read as _, Seek as _, SeekFrom, Write as _},
    path::PathBuf,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use super::{daemon, disk, http, scene::Scene, traffic};
use crate::steps::{self, Outcome};

/// Something that goes wrong, and is put right.
pub struct Fault {
    pub what: &'static str,
    /// Those that must fire, and clear once it is put right.
    pub alerts: &'static [&'static str],
    pub inject: fn(&mut Scene) -> Result<Mend, String>,
}

/// What puts it right.
pub type Mend = Box<dyn FnOnce(&mut Scene) -> Outcome>;

fn mend(how: impl FnOnce(&mut Scene) -> Outcome + 'static) -> Result<Mend, String> {
    Ok(Box::new(how))
}

/// In this order: the later ones disturb more.
pub const FAULTS: &[Fault] = &[
    Fault {
        what: "tables that nobody merges",
        alerts: &["LSMCompactionLag"],
        inject: |scene| {
            let mut parts = 0;
            while scene.metric("stemedb_lsm_pending_compaction_bytes")? == 0.0 {
                if parts == 20 {
                    return Err("80,000 claims, and no table is due to be merged".to_owned());
                }
                traffic::import(&scene.url(""), &format!("part{parts}-"), 4_000)?;
                parts += 1;
            }
            mend(|scene| scene.ask("POST", "/v1/admin/storage/compact", "{\"force\":true}").map(drop))
        },
    },
    Fault {
        what: "a disk that counts errors, a target of backups that is a file, and sources that contradict each other",
        alerts: &["DiskIOErrors", "BackupFailed", "OpenConflictsJump"],
        inject: |scene| {
            scene.ask("GET", "/v1/conflicts?limit=1", "")?;
            // So that there is a figure of before.
            thread::sleep(Duration::from_secs(3));
            for number in 0..60 {
                for (source, object) in [("one", 1), ("two", 2)] {
                    let body = format!(
                        "{{\"subject\":\"q{number}\",\"predicate\":\"p\",\"object\":{object},\"source\":\"{source}\"}}"
                    );
                    scene.ask("POST", "/v1/assert", &body)?;
                }
            }
            scene.ask("GET", "/v1/conflicts?limit=1", "")?;
            scene.io_errors("0x64")?;
            let target = scene.folder.join("backups");
            let _ = fs::remove_dir_all(&target);
            fs::write(&target, "not a folder").map_err(|error| error.to_string())?;
            scene.ask("POST", "/v1/admin/backup", "{}")?;
            mend(move |_| fs::remove_file(&target).map_err(|error| error.to_string()))
        },
    },
    Fault {
        what: "bytes of a table that are not those written",
        alerts: &["DamageFound"],
        inject: |scene| {
            damage(&largest_table(scene)?)?;
            scene.ask("POST", "/v1/admin/storage/verify", "{}")?;
            mend(|_| Ok(()))
        },
    },
    Fault {
        what: "a full disk",
        alerts: &[
            "DiskSpaceWarning",
            "WALDiskNearlyFull",
            "StorageRefusesWrites",
            "StemeDBNotReady",
            "HighAPIErrorRate",
            "HighStorageErrorRate",
            "StorageErrorRateEscalation",
            "AvailabilityBurnFast",
        ],
        inject: |scene| {
            let space = scene.ask("GET", "/v1/health", "")?["space"].clone();
            let number = |name: &str| space[name].as_u64().ok_or_else(|| format!("no {name} in {space}"));
            let taken = number("available_bytes")?.saturating_sub(number("refuses_below_bytes")? / 2);
            scene.disk.fill(taken)?;
            mend(|scene| scene.disk.free())
        },
    },
    Fault {
        what: "a disk that does not answer",
        alerts: &["WALFsyncStuck", "CommitStalled"],
        inject: |scene| {
            scene.disk.freeze()?;
            mend(|scene| scene.disk.thaw())
        },
    },
    Fault {
        what: "a slow disk",
        alerts: &["WALFsyncSlow", "HighWriteLatency"],
        inject: |scene| {
            let slow = Slow::start(scene.disk.dir().to_path_buf());
            mend(move |_| slow.stop())
        },
    },
    Fault {
        what: "a disk that refuses what is written",
        alerts: &["WALFsyncFailure", "WALReadOnly"],
        inject: |scene| {
            limit(scene, "0:unlimited")?;
            mend(|scene| limit(scene, "unlimited"))
        },
    },
    Fault {
        what: "a server that is killed",
        alerts: &["StemeDBDown"],
        inject: |scene| {
            scene.kill();
            mend(Scene::serve)
        },
    },
    Fault {
        what: "a server that dies again and again",
        alerts: &["StemeDBRestarting"],
        inject: |scene| {
            for _ in 0..3 {
                scene.kill();
                scene.serve()?;
                // So that each of them is seen.
                thread::sleep(Duration::from_millis(2_200));
            }
            mend(|_| Ok(()))
        },
    },
];

fn largest_table(scene: &Scene) -> Result<PathBuf, String> {
    let folder = scene.disk.dir().join("db/kv");
    let entries = fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let tables = entries.flatten().map(|entry| entry.path());
    let tables = tables.filter(|path| path.extension().is_some_and(|extension| extension == "sst"));
    let largest = tables.max_by_key(|path| fs::metadata(path).map(|metadata| metadata.len()).unwrap_or(0));
    largest.ok_or_else(|| "no table".to_owned())
}

/// Flips a bit in every 256th byte of the middle half, in place.
fn damage(path: &PathBuf) -> Outcome {
    let flip = || -> std::io::Result<()> {
        let mut file = fs::OpenOptions::new().read(true).write(true).open(path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let (from, to) = (bytes.len() / 4, bytes.len() * 3 / 4);
        bytes.iter_mut().take(to).skip(from).step_by(256).for_each(|byte| *byte ^= 0x10);
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&bytes)?;
        file.sync_all()
    };
    flip().map_err(|error| format!("{}: {error}", path.display()))
}

/// How large files of the server may be: beyond it every write fails.
fn limit(scene: &Scene, bytes: &str) -> Outcome {
    let process = scene.process()?.to_string();
    steps::command(Command::new("prlimit").args(["--pid", &process, &format!("--fsize={bytes}")]))
}

/// A disk that is frozen most of the time, for a third of a second each.
struct Slow {
    is_over: Arc<AtomicBool>,
    thread: thread::JoinHandle<Outcome>,
}

impl Slow {
    fn start(dir: PathBuf) -> Slow {
        let is_over = Arc::new(AtomicBool::new(false));
        let here = Arc::clone(&is_over);
        let thread = thread::spawn(move || {
            while !here.load(Ordering::Relaxed) {
                disk::freezer(&dir, true)?;
                thread::sleep(Duration::from_millis(330));
                disk::freezer(&dir, false)?;
                thread::sleep(Duration::from_millis(60));
            }
            Ok(())
        });
        Slow { is_over, thread }
    }

    fn stop(self) -> Outcome {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_else(|_| Err("the freezer panicked".to_owned()))
    }
}

/// Waits until the server takes part again, so that the next fault meets a whole one.
pub fn recovered(scene: &Scene) -> Outcome {
    let is_ready = || http::ask("GET", &scene.url("/readyz"), "").is_ok_and(|(status, _)| status == 200);
    daemon::until("ready", Duration::from_secs(60), is_ready)
}
