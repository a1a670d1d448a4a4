//! `rig`: see the library.
// Its subject is the operating system itself.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

use std::process::ExitCode;

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    linux::main()
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    let required = std::env::args().any(|argument| argument == "--require");
    println!("SKIPPED: rig because it needs the mounts and loop devices of Linux");
    if required { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::process::ExitCode;

    use clap::{Args, Parser, Subcommand, ValueEnum};
    use stemedb_env::Env;
    use stemedb_rig::{
        Result, engine, engine_cuts, engine_kills,
        engine_life::EngineWriterOptions,
        engine_writer, full_disk,
        life::WriterOptions,
        power_cuts,
        resume::{Policy, REOPEN_ALLOWED},
        scratch::{self, Scratch},
        writer,
    };

    /// The journal and the engine on a real kernel: kills, power cuts, full disks, syncs that lie. Needs root.
    #[derive(Parser)]
    #[command(name = "rig")]
    struct Cli {
        #[command(subcommand)]
        suite: Suite,
    }

    #[derive(Subcommand)]
    enum Suite {
        /// Cuts the power of a disk while a process writes to it.
        PowerCuts {
            /// How many cuts.
            #[arg(long, default_value_t = 500)]
            cuts: u64,
            /// The file system.
            #[arg(long, value_enum, default_value_t = FileSystem::Ext4)]
            fs: FileSystem,
            /// The writer does not sync, to prove that losses are found: this run must fail.
            #[arg(long)]
            without_sync: bool,
            #[command(flatten)]
            shared: Shared,
        },
        /// Fills a disk while a process writes to it, and frees it again.
        FullDisk {
            /// How many times each kind of disk is filled.
            #[arg(long, default_value_t = 3)]
            cycles: u64,
            /// Whether the writer may open its journal again when a write has failed.
            #[arg(long, num_args = 0..=1, default_missing_value = "true", default_value_t = REOPEN_ALLOWED,
                action = clap::ArgAction::Set)]
            allow_reopen: bool,
            /// The writer believes a sync that is tried again, to prove that losses are found: this run must fail.
            #[arg(long)]
            retries_sync: bool,
            #[command(flatten)]
            shared: Shared,
        },
        /// Kills processes that run the whole engine.
        EngineKills {
            /// How many kills.
            #[arg(long, default_value_t = 40)]
            kills: u64,
            #[command(flatten)]
            shared: Shared,
        },
        /// Cuts the power of a disk while a process runs the whole engine on it.
        EngineCuts {
            /// How many cuts.
            #[arg(long, default_value_t = 60)]
            cuts: u64,
            /// The engine does not sync, to prove that losses are found: this run must fail.
            #[arg(long, hide = true)]
            without_sync: bool,
            #[command(flatten)]
            shared: Shared,
        },
        /// The process that writes.
        #[command(hide = true)]
        Writer(WriterOptions),
        /// The process that runs an engine.
        #[command(hide = true)]
        EngineWriter(EngineWriterOptions),
    }

    #[derive(Args)]
    struct Shared {
        /// Decides everything but the timing; by default another one each time.
        #[arg(long)]
        seed: Option<u64>,
        /// Fail where the rig cannot work, instead of skipping.
        #[arg(long)]
        require: bool,
    }

    #[derive(Clone, Copy, ValueEnum)]
    enum FileSystem {
        /// With and without its journal, in turn.
        Ext4,
    }

    pub fn main() -> ExitCode {
        match Cli::parse().suite {
            Suite::Writer(options) => writer::run(options),
            Suite::EngineWriter(options) => engine_writer::run(options),
            Suite::EngineKills { kills, shared } => suite("engine-kills", &shared, |scratch, seed| {
                let summary = engine_kills::run(scratch, &engine_kills::Options { kills, seed })?;
                Ok((summary.to_string(), summary.problems))
            }),
            Suite::EngineCuts { cuts, without_sync, shared } => {
                suite("engine-cuts", &shared, |scratch, seed| {
                    let options = engine_cuts::Options { cuts, seed, without_sync };
                    let summary = engine_cuts::run(scratch, &options)?;
                    Ok((summary.to_string(), summary.problems))
                })
            }
            Suite::PowerCuts { cuts, fs: FileSystem::Ext4, without_sync, shared } => {
                suite("power-cuts", &shared, |scratch, seed| {
                    let summary =
                        power_cuts::run(scratch, &power_cuts::Options { cuts, seed, without_sync })?;
                    Ok((summary.to_string(), summary.problems))
                })
            }
            Suite::FullDisk { cycles, allow_reopen, retries_sync, shared } => {
                suite("full-disk", &shared, |scratch, seed| {
                    let policy = Policy { allow_reopen, ..Policy::default() };
                    let options = full_disk::Options { cycles, seed, policy, retries_sync };
                    let mut summary = full_disk::run(scratch, &options)?;
                    if retries_sync || !summary.problems.is_empty() {
                        return Ok((summary.to_string(), summary.problems));
                    }
                    let engine = engine::run(scratch, cycles, seed)?;
                    summary
                        .problems
                        .extend(engine.problems.iter().map(|problem| format!("engine: {problem}")));
                    Ok((format!("{summary}\n{engine}"), summary.problems))
                })
            }
        }
    }

    /// Runs a suite where that is possible; its line comes last.
    fn suite(
        name: &str,
        shared: &Shared,
        run: impl FnOnce(&Scratch, u64) -> Result<(String, Vec<String>)>,
    ) -> ExitCode {
        let scratch = match scratch::enter() {
            Ok(scratch) => scratch,
            Err(why) => {
                println!("SKIPPED: rig {name} because {why}");
                return if shared.require { ExitCode::FAILURE } else { ExitCode::SUCCESS };
            }
        };
        let seed = shared.seed.unwrap_or_else(|| Env::real().random.next_u64() >> 32);
        println!("rig {name} --seed {seed}");
        match run(&scratch, seed) {
            Ok((summary, problems)) => {
                problems.iter().take(40).for_each(|problem| println!("FAILED: {problem}"));
                println!("{summary}");
                if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
            }
            Err(broken) => {
                println!("FAILED: the rig could not go on: {broken}");
                ExitCode::FAILURE
            }
        }
    }
}
