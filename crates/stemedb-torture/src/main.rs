//! Runs the suites from the command line.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::{Args, Parser, Subcommand};
use stemedb_torture::{
    answers,
    crash::{self, Plan},
    damage, engine, errors, heal, lsm, planted, quick,
    report::Report,
    swarm,
};

/// Suites that try to make the journal and the LSM tree lie.
#[derive(Debug, Parser)]
#[command(name = "torture", version)]
struct Cli {
    /// `push` or `deep`; only a word in the summary line.
    #[arg(long, global = true, default_value = "push")]
    tier: String,
    #[command(subcommand)]
    suite: Suite,
}

#[derive(Debug, Subcommand)]
enum Suite {
    /// Every short sequence × every crash point × every outcome.
    Crash(CrashArgs),
    /// The same on a disk whose syncs do nothing: no other entries, no panic.
    Liar(CrashArgs),
    /// Seeded random runs.
    Swarm(SwarmArgs),
    /// The n-th call fails, for every n.
    Errors(ErrorsArgs),
    /// Every byte, sector and file damaged.
    Damage(DamageArgs),
    /// Damaged segments written again, from the truth and from a lie.
    Heal {
        /// Every so-manieth byte.
        #[arg(long, default_value_t = 1)]
        every: u64,
    },
    /// Random histories of the LSM tree beside a model, with power cuts.
    Lsm(LsmArgs),
    /// The same history of the tree under many option sets.
    LsmOptions {
        /// The first seed.
        #[arg(long, default_value_t = 1)]
        first: u64,
        /// How many.
        #[arg(long, default_value_t = 6)]
        seeds: u64,
    },
    /// What reading the tree costs, counted.
    LsmCost,
    /// Readers of the tree beside a writer, with real threads.
    LsmThreads {
        /// Batches.
        #[arg(long, default_value_t = 1_500)]
        batches: u64,
    },
    /// The n-th call of the tree fails, for every n.
    LsmErrors {
        /// Only this trial: fault, calls that pass before, how many fail.
        #[arg(long, value_parser = one_tree_trial)]
        only: Option<(String, u64, u64)>,
        /// Every so-manieth n.
        #[arg(long, default_value_t = 1)]
        every: u64,
    },
    /// Bytes of every file of the tree flipped.
    LsmDamage {
        /// Every so-manieth byte of the data.
        #[arg(long, default_value_t = 17)]
        data_every: usize,
        /// Every so-manieth byte of everything else.
        #[arg(long, default_value_t = 1)]
        every: usize,
        /// Only this byte: file,offset.
        #[arg(long, value_parser = one_flip)]
        only: Option<(String, u64)>,
    },
    /// Every short sequence of what an engine does × every crash point × many outcomes.
    EngineCrash(EngineCrashArgs),
    /// Every byte and file of a whole database damaged.
    EngineDamage(EngineDamageArgs),
    /// Every answer of a sample of questions beside a naive oracle.
    Answers(AnswersArgs),
    /// All of these in small, up to the first that fails.
    Quick {
        /// Only those of this part: journal or lsm.
        #[arg(long)]
        part: Option<String>,
        /// All of them, even when one fails.
        #[arg(long)]
        keep_going: bool,
    },
    /// Every planted defect must be noticed. Needs a build with `--features planted`.
    Planted(PlantedArgs),
}

#[derive(Debug, Args)]
struct AnswersArgs {
    /// Questions, each through every lens at five moments with five counterfactuals.
    #[arg(long, default_value_t = 500)]
    questions: usize,
    /// A file of claims, JSON lines, `.zst` or not; the committed sample without one.
    #[arg(long)]
    claims: Option<PathBuf>,
    /// Decides everything that is drawn.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Threads.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Only the question with this number.
    #[arg(long)]
    only: Option<usize>,
    /// Keep the progress in this file, and go on where it stops.
    #[arg(long)]
    resume: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct EngineCrashArgs {
    /// Stop after so many distinct states.
    #[arg(long, default_value_t = 100_000)]
    states: u64,
    /// Longest sequences.
    #[arg(long, default_value_t = 3)]
    length: u32,
    /// The first sequence.
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// Threads.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Only the sequence with this number.
    #[arg(long)]
    only: Option<u64>,
    /// Keep the progress in this file, and go on where it stops.
    #[arg(long)]
    resume: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct EngineDamageArgs {
    /// Every so-manieth byte.
    #[arg(long, default_value_t = 1)]
    every: usize,
    /// Every bit of each byte.
    #[arg(long)]
    deep: bool,
    /// Pairs of damage: one in the journal, one in the view.
    #[arg(long, default_value_t = 2_000)]
    pairs: usize,
    /// Seed of what is drawn.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Threads.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Only the trial with this number.
    #[arg(long)]
    only: Option<usize>,
}

#[derive(Debug, Args)]
struct LsmArgs {
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    first: u64,
    /// Stop after so many operations.
    #[arg(long, default_value_t = 1_000_000)]
    operations: u64,
    /// Threads.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Keep the progress in this file, and go on where it stops.
    #[arg(long)]
    resume: Option<PathBuf>,
}

fn one_flip(text: &str) -> Result<(String, u64), String> {
    let (file, offset) = text.split_once(',').ok_or("two parts are needed: file,offset")?;
    Ok((file.to_owned(), offset.parse().map_err(|error| format!("{offset}: {error}"))?))
}

fn one_tree_trial(text: &str) -> Result<(String, u64, u64), String> {
    let parts: Vec<&str> = text.split(',').collect();
    let [fault, after, times] = parts.as_slice() else {
        return Err("three parts are needed: fault,calls,times".to_owned());
    };
    let number = |part: &str| part.parse::<u64>().map_err(|error| format!("{part}: {error}"));
    Ok(((*fault).to_owned(), number(after)?, number(times)?))
}

#[derive(Debug, Args)]
struct PlantedArgs {
    /// Only the defects whose number leaves this rest...
    #[arg(long, default_value_t = 0)]
    part: usize,
    /// ...when divided by this.
    #[arg(long, default_value_t = 1)]
    of: usize,
    /// Only this defect.
    #[arg(long)]
    only: Option<String>,
    /// Seconds for one defect.
    #[arg(long, default_value_t = 60)]
    limit: u64,
    /// Run all suites for each defect, and list every one that notices it.
    #[arg(long)]
    all_suites: bool,
}

#[derive(Debug, Args)]
struct DamageArgs {
    /// Every so-manieth byte.
    #[arg(long, default_value_t = 1)]
    every: usize,
    /// Every bit of each byte.
    #[arg(long)]
    deep: bool,
    /// Pairs of harms per journal.
    #[arg(long, default_value_t = 5_000)]
    pairs: usize,
    /// Seed of what is drawn.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Threads.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Only this harm: journal,number.
    #[arg(long, value_parser = one_harm)]
    only: Option<(usize, usize)>,
}

impl DamageArgs {
    fn run(self, tier: &str) -> Result<Report, String> {
        let DamageArgs { every, deep, pairs, seed, threads, only } = self;
        damage::run(tier, &damage::Options { every, each_bit: deep, pairs, threads, only, seed })
    }
}

fn one_harm(text: &str) -> Result<(usize, usize), String> {
    let (journal, number) = text.split_once(',').ok_or("two numbers are needed: journal,number")?;
    let parsed = |part: &str| part.parse::<usize>().map_err(|error| format!("{part}: {error}"));
    Ok((parsed(journal)?, parsed(number)?))
}

#[derive(Debug, Args)]
struct ErrorsArgs {
    /// Only this script.
    #[arg(long)]
    script: Option<String>,
    /// Only this trial: fault, process, calls that pass before, how many fail.
    #[arg(long, value_parser = one_trial)]
    only: Option<(String, u64, u64, u64)>,
    /// Every so-manieth n.
    #[arg(long, default_value_t = 1)]
    every: u64,
}

fn one_trial(text: &str) -> Result<(String, u64, u64, u64), String> {
    let parts: Vec<&str> = text.split(',').collect();
    let [fault, life, after, times] = parts.as_slice() else {
        return Err("four parts are needed: fault,process,calls,times".to_owned());
    };
    let number = |part: &str| part.parse::<u64>().map_err(|error| format!("{part}: {error}"));
    Ok(((*fault).to_owned(), number(life)?, number(after)?, number(times)?))
}

#[derive(Debug, Args)]
struct SwarmArgs {
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    first: u64,
    /// How many.
    #[arg(long, default_value_t = 2_000)]
    seeds: u64,
    /// Threads.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Keep the progress in this file, and go on where it stops.
    #[arg(long)]
    resume: Option<PathBuf>,
    /// Print what happens in the first seed, instead of running many.
    #[arg(long)]
    show: bool,
}

impl SwarmArgs {
    fn run(self, tier: &str) -> Result<Report, String> {
        if self.show {
            let shown = swarm::run_seed(self.first, true);
            return shown.map(|outcome| outcome.report).map_err(|violation| violation.to_string());
        }
        let options = swarm::Options {
            threads: self.threads,
            resume: self.resume,
            ..swarm::Options::new(self.first, self.seeds)
        };
        swarm::run(tier, &options)
    }
}

#[derive(Debug, Args)]
struct CrashArgs {
    /// Stop after so many distinct states.
    #[arg(long, default_value_t = 1_000_000)]
    states: u64,
    /// Longest sequences.
    #[arg(long, default_value_t = 5)]
    length: u32,
    /// Threads.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Only the sequence with this number.
    #[arg(long)]
    only: Option<u64>,
    /// Keep the progress in this file, and go on where it stops.
    #[arg(long)]
    resume: Option<PathBuf>,
}

impl CrashArgs {
    fn run(self, suite: &'static str, tier: &str) -> Result<Report, String> {
        let plan = if suite == "liar" { Plan::lying(self.length) } else { Plan::honest(self.length) };
        let options = crash::Options {
            threads: self.threads,
            only: self.only,
            resume: self.resume,
            chatty: true,
            ..crash::Options::new(plan, self.states)
        };
        crash::run(suite, tier, &options)
    }
}

fn quick(part: Option<&str>, keep_going: bool) -> ExitCode {
    match quick::run(part, keep_going, |report| println!("{}", report.shown())) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("torture: {message}");
            ExitCode::FAILURE
        }
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.suite {
        Suite::Crash(args) => args.run("crash", &cli.tier),
        Suite::Liar(args) => args.run("liar", &cli.tier),
        Suite::Swarm(args) => args.run(&cli.tier),
        Suite::Damage(args) => args.run(&cli.tier),
        Suite::Heal { every } => heal::run(&cli.tier, &heal::Options { every }),
        Suite::Planted(PlantedArgs { part, of, only, limit, all_suites }) => {
            let limit = Duration::from_secs(limit);
            planted::run(&cli.tier, &planted::Options { part, of, only, limit, all_suites })
        }
        Suite::Quick { part, keep_going } => return quick(part.as_deref(), keep_going),
        Suite::Lsm(LsmArgs { first, operations, threads, resume }) => {
            lsm::history::run(&cli.tier, &lsm::history::Options { first, operations, threads, resume })
        }
        Suite::LsmOptions { first, seeds } => {
            lsm::options::run(&cli.tier, &lsm::options::Options { first, seeds })
        }
        Suite::LsmCost => lsm::cost::run(&cli.tier),
        Suite::LsmThreads { batches } => lsm::threads::run(&cli.tier, batches),
        Suite::LsmErrors { only, every } => {
            lsm::errors::run(&cli.tier, &lsm::errors::Options { every, only })
        }
        Suite::LsmDamage { data_every, every, only } => {
            lsm::damage::run(&cli.tier, &lsm::damage::Options { data_every, every, only })
        }
        Suite::EngineCrash(EngineCrashArgs { states, length, first, threads, only, resume }) => {
            let options =
                engine::crash::Options { length, states, threads, only, first, resume, chatty: true };
            engine::crash::run(&cli.tier, &options)
        }
        Suite::EngineDamage(EngineDamageArgs { every, deep, pairs, seed, threads, only }) => {
            let options = engine::damage::Options { every, deep, pairs, seed, threads, only };
            engine::damage::run(&cli.tier, &options)
        }
        Suite::Answers(AnswersArgs { questions, claims, seed, threads, only, resume }) => {
            answers::run(&cli.tier, &answers::Options { questions, claims, seed, threads, only, resume })
        }
        Suite::Errors(ErrorsArgs { script, only, every }) => {
            errors::run(&cli.tier, &errors::Options { script, only, every })
        }
    };
    match outcome {
        Ok(report) => {
            println!("{}", report.shown());
            if report.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(message) => {
            eprintln!("torture: {message}");
            ExitCode::FAILURE
        }
    }
}
