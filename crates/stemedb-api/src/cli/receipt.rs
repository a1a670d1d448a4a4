//! `verify-receipt` and `server-key`: who answered what, and whether it holds.

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use serde::Serialize;
use stemedb_api::{
    ReceiptCheck, ReceiptError, RootCheck, check_document,
    core::{AgentId, SignedReceipt, receipt::ClaimStanding},
    json::ServerKeyJson,
    read_receipt,
};
use stemedb_env::{Env, fs::read_file};

use super::{At, Place, client::Client, failure::Failure, folder, paint};

/// Larger files are no receipts: a claim takes a few hundred bytes.
const FILE_MAX_BYTES: u64 = 2 << 30;

/// Check a receipt: its signature alone, or also its claims and its answer against a database
#[derive(Debug, clap::Args)]
pub struct VerifyReceiptArgs {
    /// The receipt, in JSON or in bytes
    file: PathBuf,
    /// A database (or a restored copy): check that the claims are there and that the answer is the same
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The public key that must have signed, 64 hexadecimal digits
    #[arg(long, value_name = "HEX")]
    key: Option<AgentId>,
    /// With --data-dir: read all rows and compare the state root too
    #[arg(long, requires = "data_dir")]
    full: bool,
    /// Print what was found as one line of JSON
    #[arg(long)]
    json: bool,
}

/// Print the public key that a server signs its receipts with
#[derive(Debug, clap::Args)]
pub struct ServerKeyArgs {
    #[command(flatten)]
    place: Place,
    /// Print it as one line of JSON, with the database's id
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Found<'a> {
    id: String,
    signed_by: String,
    subject: &'a str,
    predicate: &'a str,
    lens: &'a str,
    lsn: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    claims_found: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    own_key: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state_root: Option<&'static str>,
}

/// Checks; what does not hold is a failure that says what.
pub fn verify(args: &VerifyReceiptArgs) -> Result<(), Failure> {
    let context = |failure: Failure| failure.context(args.file.display());
    let bytes = read_file(&*Env::real().fs, &args.file, FILE_MAX_BYTES)?;
    let signed = read_receipt(&bytes).map_err(failed).map_err(context)?;
    let (signer, check) = match &args.data_dir {
        None => (check_document(&signed, args.key).map_err(failed).map_err(context)?, None),
        Some(dir) => {
            let check = against(dir, &signed, args).map_err(context)?;
            (check.signer, Some(check))
        }
    };
    let mut out = anstream::stdout();
    if args.json {
        let found = found(&signed, signer, check.as_ref());
        let line = serde_json::to_string(&found).map_err(Failure::new)?;
        writeln!(out, "{line}")?;
        return Ok(());
    }
    for line in lines(&signed, signer, check.as_ref(), args.key.is_some()) {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

fn against(dir: &Path, signed: &SignedReceipt, args: &VerifyReceiptArgs) -> Result<ReceiptCheck, Failure> {
    let database = folder::open(dir)?;
    let check = database.check_receipt(signed, args.key, args.full).map_err(failed)?;
    database.close()?;
    Ok(check)
}

fn failed(error: ReceiptError) -> Failure {
    match error {
        ReceiptError::Database(error) => error.into(),
        ReceiptError::OtherKey { .. } => Failure::new(error).hint("`server-key` prints the key of a server"),
        error => Failure::new(error),
    }
}

fn found<'a>(signed: &'a SignedReceipt, signer: AgentId, check: Option<&ReceiptCheck>) -> Found<'a> {
    let receipt = signed.receipt();
    Found {
        id: AgentId(signed.id()).to_string(),
        signed_by: signer.to_string(),
        subject: &receipt.question.subject,
        predicate: &receipt.question.predicate,
        lens: &receipt.question.lens,
        lsn: receipt.question.as_of,
        claims_found: check.map(|check| check.claims),
        own_key: check.map(|check| check.is_own_key),
        state_root: check.map(|check| match check.root {
            RootCheck::NotAsked => "not_asked",
            RootCheck::Same { .. } => "same",
            RootCheck::OtherDerivation { .. } => "other_derivation",
        }),
    }
}

fn lines(
    signed: &SignedReceipt,
    signer: AgentId,
    check: Option<&ReceiptCheck>,
    key_was_given: bool,
) -> Vec<String> {
    let receipt = signed.receipt();
    let (question, answer) = (&receipt.question, &receipt.answer);
    let counted =
        receipt.claims.iter().filter(|claim| matches!(claim.standing, ClaimStanding::Counted { .. })).count();
    let subject = paint::visible(&format!("{}  {}", question.subject, question.predicate));
    let claims = paint::count(receipt.claims.len() as u64, "claim", "claims");
    let mut lines = vec![
        format!("question     {subject}  lens: {}", paint::visible(&question.lens)),
        format!("answer       {}, {counted} of {claims} counted", answer.status),
        format!("known        LSN {} of timeline {}", question.as_of, receipt.timeline),
        format!("made         {}", receipt.made_at),
        format!("signed by    {signer}{}", if key_was_given { ", as asked for" } else { "" }),
        "signature    holds, and nothing was changed".to_owned(),
    ];
    let Some(check) = check else {
        lines.push("database     not looked at; --data-dir checks claims and answer".to_owned());
        return lines;
    };
    if !check.is_own_key {
        lines.push("key          not this folder's own; a restored copy has one of its own".to_owned());
    }
    if check.timelines.0 != check.timelines.1 {
        lines.push(format!("timeline     {} here: a restored copy", check.timelines.1));
    }
    lines.push(format!(
        "claims       {} found, each with content of its hash",
        paint::count(check.claims as u64, "claim", "claims")
    ));
    lines.push("answer       the same".to_owned());
    lines.push(match check.root {
        RootCheck::NotAsked => "state root   not looked at; --full reads all rows".to_owned(),
        RootCheck::Same { rows } => format!("state root   the same, {}", paint::count(rows, "row", "rows")),
        RootCheck::OtherDerivation { receipt, here } => {
            format!("state root   cannot be compared: of derivation {receipt}, here it is {here}")
        }
    });
    lines
}

/// Prints the key.
pub fn server_key(args: &ServerKeyArgs) -> Result<(), Failure> {
    let json = match args.place.at()? {
        At::Folder(dir) => {
            let database = folder::open(dir)?;
            let key = ServerKeyJson::of(&database)?;
            database.close()?;
            serde_json::to_vec(&key).map_err(Failure::new)?
        }
        At::Server(url) => Client::new(url)?.get("/v1/admin/server-key")?.to_vec(),
    };
    let mut out = anstream::stdout();
    if args.json {
        out.write_all(&json)?;
        writeln!(out)?;
        return Ok(());
    }
    #[derive(serde::Deserialize)]
    struct Key {
        server_key: String,
    }
    let key: Key = serde_json::from_slice(&json).map_err(Failure::new)?;
    writeln!(out, "{}", key.server_key)?;
    Ok(())
}
