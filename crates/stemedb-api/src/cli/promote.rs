//! `promote`: a standby, or a restored database, becomes the writer.

use std::{io::Write, path::PathBuf};

use stemedb_api::replication::{self, Promotion, Standby, StandbyOptions};
use stemedb_env::Env;

use super::{
    At, Place,
    backup::{failed, open},
    client::{Client, Content},
    failure::Failure,
    folder,
};

/// Make a standby the writer; or a restored database, in an archive that another timeline was written into
#[derive(Debug, clap::Args)]
pub struct PromoteArgs {
    #[command(flatten)]
    place: Place,
    /// The archive that it has followed, or will write into: a folder, or s3://bucket/prefix. A server knows it
    #[arg(long, value_name = "TARGET", required_unless_present = "url", conflicts_with = "url")]
    from: Option<String>,
}

/// Promotes.
pub fn run(args: &PromoteArgs) -> Result<(), Failure> {
    match (args.place.at()?, &args.from) {
        (At::Server(url), None) => {
            let mut client = Client::new(url)?;
            let content = Content { media_type: "application/json", body: "".into() };
            let reply = client.post("/v1/admin/promote", content)?;
            let reply: serde_json::Value = serde_json::from_slice(&reply)
                .map_err(|error| Failure::new(error).context("the server's reply"))?;
            let number = |name: &str| reply[name].as_u64();
            print(
                reply["promoted"] == true,
                number("epoch"),
                number("timeline").unwrap_or_default(),
                number("lsn").unwrap_or_default(),
            )
        }
        (At::Folder(dir), Some(from)) => embedded(dir.to_path_buf(), from),
        _ => Err(Failure::usage("give --from with --data-dir")),
    }
}

fn embedded(dir: PathBuf, from: &str) -> Result<(), Failure> {
    let target = open(&Env::real(), from)?;
    let database = folder::open(&dir)?;
    let promoted = if database.role().is_standby() {
        Standby::attach(&database, target, StandbyOptions::default()).and_then(|standby| {
            let promoted = standby.promote()?;
            standby.finish()?;
            Ok(promoted)
        })
    } else {
        replication::claim_restored(&database, &*target)
    };
    database.close()?;
    let Promotion { promoted, epoch, timeline, lsn } = promoted.map_err(failed)?;
    print(promoted, epoch, u64::from(timeline), lsn.0)
}

fn print(promoted: bool, epoch: Option<u64>, timeline: u64, lsn: u64) -> Result<(), Failure> {
    let mut out = anstream::stdout().lock();
    if !promoted {
        writeln!(out, "nothing to do: it is the writer of timeline {timeline}, up to LSN {lsn}")?;
        return Ok(());
    }
    writeln!(out, "promoted     the writer before is fenced")?;
    writeln!(out, "epoch        {}", epoch.unwrap_or_default())?;
    writeln!(out, "timeline     {timeline}, from LSN {} on", lsn.saturating_add(1))?;
    Ok(())
}
