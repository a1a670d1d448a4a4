//! The commands.
//!
//! | command | needs | what |
//! |---|---|---|
//! | `init` | an absent or empty folder | creates a database |
//! | `serve` | a database | answers HTTP until told to stop |
//! | `check-config`, `config` | file, environment, flags | checks and shows what `serve` would be started with |
//! | `import` | a database, an absent folder, or a server | records from JSON lines, CSV or RDF |
//! | `export` | a database or a server | records as JSON lines, CSV or RDF |
//! | `query` | a database or a server | one question, as a table or JSON |
//! | `history`, `impact` | a database or a server | what was said about a claim, and what derives from it |
//! | `agent` | a database or a server | says or records what is known about an agent |
//! | `verify-receipt` | a receipt, perhaps a database | whether an answer was given and holds |
//! | `server-key` | a database or a server | whose receipts these are |
//! | `diff` | a database or a server | which answers changed between two moments |
//! | `feed` | a database or a server | what was recorded from a position on |
//! | `watch` | a database or a server | being told when an answer crosses a line |
//! | `list` | a database or a server | claims or questions, by what they are about or who said them |
//! | `conflicts` | a database or a server | the most contested questions |
//! | `demo` | an absent folder | built-in claims that disagree |
//! | `rebuild` | a journal | derives the view again |
//! | `salvage` | a database | writes what is readable of a damaged view into a new one |
//! | `verify` | a database or a server | every byte read back and checked |
//! | `stats`, `compact` | a database | look after its files |
//! | `doctor` | a server, a folder, or what is configured | looks at everything, and names the page that says what to do |
//! | `debug-bundle` | a server, a folder, or what is configured | what is needed to help, in one file without secrets |
//! | `sizing` | nothing | disk, memory, processors and time for so many claims, from what was measured |
//! | `openapi` | nothing | prints the description of the HTTP interface |
//! | `keys` | a database or a server | API keys |
//! | `audit verify` | the files of an audit log | whether they are as they were written |
//! | `bench pilot` | a server, its own or another | whether it does what a pilot asks for |
//! | `backup` | a database, and a target | copies that are proven, and going back in time |
//! | `drill` | a target, perhaps a server | restores elsewhere, compares, and measures |
//! | `promote` | a standby, or a restored database | makes it the writer |
//! | `wal dump`, `wal verify` | a journal, in use or not | look at its files |
//! | `wal archive`, `wal prune` | a database, and a target | segments kept elsewhere, and no longer here |
//!
//! Results go to standard output, everything else (progress, logs, errors) to standard error. Exit codes: 0 done, 1 failed,
//! 2 called wrongly; 3 of `debug-bundle`: not kept.

mod about;
mod agent;
mod audit;
mod backup;
mod bench;
mod bundle;
mod client;
mod compact;
mod config;
mod conflicts;
mod demo;
mod diff;
mod doctor;
mod drill;
mod export;
mod failure;
mod feed;
mod folder;
mod import;
mod init;
mod keys;
mod list;
mod logs;
mod openapi;
mod paint;
mod process;
mod progress;
mod promote;
mod query;
mod rebuild;
mod receipt;
mod salvage;
mod serve;
mod sizing;
mod stats;
mod storage_log;
mod verify;
mod wal;
mod watch;

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, CommandFactory, Parser, Subcommand};

use failure::Failure;

/// A database for claims that disagree.
#[derive(Debug, Parser)]
#[command(name = "stemedb-api", version, max_term_width = 100, arg_required_else_help = true)]
struct Cli {
    #[command(flatten)]
    logs: logs::LogArgs,
    #[command(flatten)]
    rebuild: RebuildFlags,
    #[command(subcommand)]
    command: Option<Command>,
}

/// The literal flags of the runbook, beside `rebuild`.
#[derive(Debug, Args)]
struct RebuildFlags {
    /// Derive the view again from the journal, offline (the same as `rebuild`)
    #[arg(long, requires = "wal_path", requires = "kv_path")]
    rebuild_from_wal: bool,
    /// With --rebuild-from-wal: the journal's folder
    #[arg(long, value_name = "DIR", requires = "rebuild_from_wal")]
    wal_path: Option<PathBuf>,
    /// With --rebuild-from-wal: the view's folder, absent or empty
    #[arg(long, value_name = "DIR", requires = "rebuild_from_wal")]
    kv_path: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Init(init::InitArgs),
    Serve(serve::ServeArgs),
    CheckConfig(config::CheckArgs),
    Config(config::ConfigArgs),
    Import(import::ImportArgs),
    Export(export::ExportArgs),
    Query(query::QueryArgs),
    History(about::HistoryArgs),
    Impact(about::ImpactArgs),
    Agent(agent::AgentArgs),
    Diff(diff::DiffArgs),
    Feed(feed::FeedArgs),
    Watch(watch::WatchArgs),
    VerifyReceipt(receipt::VerifyReceiptArgs),
    ServerKey(receipt::ServerKeyArgs),
    List(list::ListArgs),
    Conflicts(conflicts::ConflictsArgs),
    Demo(demo::DemoArgs),
    Rebuild(rebuild::RebuildArgs),
    Salvage(salvage::SalvageArgs),
    Verify(verify::VerifyArgs),
    Stats(stats::StatsArgs),
    Compact(compact::CompactArgs),
    Doctor(doctor::DoctorArgs),
    DebugBundle(bundle::BundleArgs),
    Sizing(sizing::SizingArgs),
    #[command(name = "openapi")]
    OpenApi(openapi::OpenApiArgs),
    Keys(keys::KeysArgs),
    Audit(audit::AuditArgs),
    Bench(bench::BenchArgs),
    Backup(backup::BackupArgs),
    Promote(promote::PromoteArgs),
    Drill(drill::DrillArgs),
    Wal(wal::WalArgs),
}

/// Runs the command line of this process.
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are asked for; everything else is a usage error. Nothing can be done if printing fails.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { failure::USAGE } else { 0 });
        }
    };
    match dispatch(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.print();
            failure.exit_code()
        }
    }
}

fn dispatch(cli: Cli) -> Result<(), Failure> {
    let Cli { logs, rebuild: flags, command } = cli;
    if let RebuildFlags { rebuild_from_wal: true, wal_path: Some(wal), kv_path: Some(kv) } = flags {
        if command.is_some() {
            return Err(Failure::usage("--rebuild-from-wal stands alone; leave the command out"));
        }
        logs.init(tracing::Level::INFO);
        return rebuild::run(&rebuild::RebuildArgs::of_paths(wal, kv));
    }
    let Some(command) = command else {
        let usage = Cli::command().render_usage().to_string();
        return Err(Failure::usage(format!("no command given ({usage}; --help lists the commands)")));
    };
    // Servers and rebuilds are watched through their logs; the tools speak for themselves.
    match command {
        // Its configuration says how.
        Command::Serve(_) => {}
        Command::Rebuild(_) => logs.init(tracing::Level::INFO),
        _ => logs.init(tracing::Level::WARN),
    }
    match command {
        Command::Init(args) => init::run(&args),
        Command::Serve(args) => serve::run(&args, &logs),
        Command::CheckConfig(args) => config::check(&args, &logs),
        Command::Config(args) => config::run(&args, &logs),
        Command::Import(args) => import::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Query(args) => query::run(&args),
        Command::History(args) => about::history(&args),
        Command::Impact(args) => about::impact(&args),
        Command::Agent(args) => agent::run(&args),
        Command::Diff(args) => diff::run(&args),
        Command::Feed(args) => feed::run(&args),
        Command::Watch(args) => watch::run(&args),
        Command::VerifyReceipt(args) => receipt::verify(&args),
        Command::ServerKey(args) => receipt::server_key(&args),
        Command::List(args) => list::run(&args),
        Command::Conflicts(args) => conflicts::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Rebuild(args) => rebuild::run(&args),
        Command::Salvage(args) => salvage::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Stats(args) => stats::run(&args),
        Command::Compact(args) => compact::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::DebugBundle(args) => bundle::run(&args),
        Command::Sizing(args) => sizing::run(&args),
        Command::OpenApi(args) => openapi::run(&args),
        Command::Keys(args) => keys::run(&args),
        Command::Audit(args) => audit::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Backup(args) => backup::run(&args),
        Command::Promote(args) => promote::run(&args),
        Command::Drill(args) => drill::run(&args),
        Command::Wal(args) => wal::run(&args),
    }
}

/// Where the claims are: in a folder, or behind a server.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Place {
    /// The database's folder (no other process may have it open)
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// A running server, such as http://127.0.0.1:18180, or unix:/run/stemedb/admin.sock for the admin plane
    #[arg(long, value_name = "URL")]
    url: Option<client::ServerUrl>,
}

/// A place, taken apart.
enum At<'a> {
    Folder(&'a std::path::Path),
    Server(&'a client::ServerUrl),
}

impl Place {
    fn at(&self) -> Result<At<'_>, Failure> {
        match (&self.data_dir, &self.url) {
            (Some(dir), None) => Ok(At::Folder(dir)),
            (None, Some(url)) => Ok(At::Server(url)),
            _ => Err(Failure::usage("give either --data-dir or --url")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_flags_of_the_runbook_need_each_other() {
        let parse = |args: &[&str]| Cli::try_parse_from([&["stemedb-api"], args].concat());
        assert!(parse(&["--rebuild-from-wal", "--wal-path", "w", "--kv-path", "k"]).is_ok());
        assert!(parse(&["--rebuild-from-wal", "--wal-path", "w"]).is_err());
        assert!(parse(&["--wal-path", "w", "--kv-path", "k"]).is_err());
        assert!(parse(&["query", "s", "p"]).is_err());
        assert!(parse(&["query", "--data-dir", "d", "--url", "http://h:1", "s", "p"]).is_err());
    }
}
