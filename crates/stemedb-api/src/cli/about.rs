//! `history` and `impact`: what was said about a claim, and what derives from it.
//!
//! A folder and a server give the same JSON, and what is printed is read from the JSON.

use std::io::Write;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use stemedb_api::{
    AsOf, Snapshot,
    core::ClaimId,
    json::{HistoryJson, ImpactJson},
};
use stemedb_index::ClaimReader;

use super::{
    At, Place,
    client::{Client, with_parameters},
    failure::Failure,
    folder, paint,
    paint::visible,
    query::plain,
};

/// Say what was said about a claim since, what took its place and what it derives from
#[derive(Debug, clap::Args)]
pub struct HistoryArgs {
    #[command(flatten)]
    about: About,
    /// Show at most so many remarks
    #[arg(long, value_name = "N", default_value_t = 1000)]
    limit: u64,
    /// Leave out the first remarks
    #[arg(long, value_name = "N", default_value_t = 0)]
    offset: u64,
}

/// Count what retracting a claim would touch: everything that derives from it, before anybody does it
#[derive(Debug, clap::Args)]
pub struct ImpactArgs {
    #[command(flatten)]
    about: About,
}

#[derive(Debug, clap::Args)]
struct About {
    #[command(flatten)]
    place: Place,
    /// The claim's id, 64 hexadecimal digits
    #[arg(value_name = "ID")]
    id: ClaimId,
    /// As it was known at a journal position or an RFC 3339 time
    #[arg(long, value_name = "LSN|TIME")]
    as_of: Option<String>,
    /// Print the answer as one line of JSON
    #[arg(long)]
    json: bool,
}

impl About {
    /// The answer in JSON, from wherever the claims are.
    fn ask(
        &self,
        what: &str,
        parameters: &[(&str, &str)],
        read: impl FnOnce(&ClaimReader<Snapshot>) -> Result<Option<Vec<u8>>, Failure>,
    ) -> Result<Bytes, Failure> {
        match self.place.at()? {
            At::Folder(dir) => {
                let as_of = self.as_of.as_deref().map(AsOf::parse).transpose().map_err(Failure::usage)?;
                let database = folder::open(dir)?;
                let answer = read(&database.reader(as_of)?)?;
                database.close()?;
                answer.map(Bytes::from).ok_or_else(|| Failure::new(format!("there is no claim {}", self.id)))
            }
            At::Server(url) => {
                let as_of = self.as_of.as_deref().map(|as_of| ("as_of", as_of));
                let parameters: Vec<_> = parameters.iter().copied().chain(as_of).collect();
                let path = format!("/v1/assertions/{}/{what}", self.id);
                Ok(Client::new(url)?.get(&with_parameters(&path, &parameters))?)
            }
        }
    }
}

fn to_json(answer: &impl Serialize) -> Result<Vec<u8>, Failure> {
    serde_json::to_vec(answer).map_err(|error| Failure::new(error).context("cannot write the answer as JSON"))
}

/// Prints the JSON if that is asked for, else what can be read of it.
fn show<'a, View: Deserialize<'a>>(
    about: &About,
    answer: &'a [u8],
    print: impl FnOnce(&mut dyn Write, View) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut out = anstream::stdout().lock();
    if about.json {
        out.write_all(answer)?;
        writeln!(out)?;
        return Ok(());
    }
    let view = serde_json::from_slice(answer)
        .map_err(|error| Failure::new(error).context("the answer is not what this version understands"))?;
    print(&mut out, view)
}

/// Says what was said about a claim.
pub fn history(args: &HistoryArgs) -> Result<(), Failure> {
    if !(1..=10_000).contains(&args.limit) {
        return Err(Failure::usage("--limit must be from 1 to 10000"));
    }
    let (limit, offset) = (args.limit.to_string(), args.offset.to_string());
    let parameters = [("limit", limit.as_str()), ("offset", offset.as_str())];
    let clamp = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let answer = args.about.ask("history", &parameters, |reader| {
        let history = reader.history(args.about.id).map_err(stemedb_api::Error::from)?;
        let page = history
            .map(|h| to_json(&HistoryJson::new(&h, clamp(args.offset), clamp(args.limit), reader.lsn())));
        page.transpose()
    })?;
    show(&args.about, &answer, print_history)
}

/// Counts what derives from a claim.
pub fn impact(args: &ImpactArgs) -> Result<(), Failure> {
    let answer = args.about.ask("impact", &[], |reader| {
        let impact = reader.impact(args.about.id).map_err(stemedb_api::Error::from)?;
        impact.map(|impact| to_json(&ImpactJson::new(&impact, reader.lsn()))).transpose()
    })?;
    show(&args.about, &answer, print_impact)
}

#[derive(Deserialize)]
struct HistoryView<'a> {
    #[serde(borrow)]
    claim: ClaimView<'a>,
    remarks_total: u64,
    remarks: Vec<RemarkView>,
    chain: ChainView,
    lineage: LineageView,
}

#[derive(Deserialize)]
struct ClaimView<'a> {
    subject: String,
    predicate: String,
    #[serde(borrow)]
    object: &'a RawValue,
    source: String,
    lsn: u64,
    recorded_at: String,
}

#[derive(Deserialize)]
struct RemarkView {
    kind: String,
    lsn: u64,
    recorded_at: String,
    agent: Option<String>,
    weight: Option<f64>,
    new: Option<String>,
    supersession: Option<String>,
    reason: Option<String>,
}

#[derive(Deserialize)]
struct ChainView {
    end: String,
    at: String,
    links: Vec<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct LineageView {
    trust: f64,
    tainted_by: Option<String>,
    ancestors: u64,
    cut: bool,
}

fn print_history(out: &mut dyn Write, view: HistoryView<'_>) -> Result<(), Failure> {
    let claim = &view.claim;
    let (subject, predicate) = (visible(&claim.subject), visible(&claim.predicate));
    writeln!(out, "{subject}  {predicate}  {}  {}", plain(claim.object), visible(&claim.source))?;
    writeln!(out, "{:>8}  {}  asserted", claim.lsn, claim.recorded_at)?;
    for remark in &view.remarks {
        let what = match (remark.kind.as_str(), remark.weight, &remark.new) {
            ("vote", Some(weight), _) => format!("vote of {weight}"),
            ("supersede", _, Some(new)) => {
                format!("{} by {new}", past(remark.supersession.as_deref().unwrap_or_default()))
            }
            ("supersede", _, None) => "retracted".to_owned(),
            ("cosign", ..) => "co-signed".to_owned(),
            (other, ..) => other.to_owned(),
        };
        let agent = remark.agent.as_ref().map(|agent| format!(", agent {agent}")).unwrap_or_default();
        let reason =
            remark.reason.as_ref().map(|reason| format!(": {}", visible(reason))).unwrap_or_default();
        writeln!(out, "{:>8}  {}  {what}{agent}{reason}", remark.lsn, remark.recorded_at)?;
    }
    let shown = view.remarks.len() as u64;
    if shown < view.remarks_total {
        writeln!(out, "{shown} of {} remarks; --offset and --limit show others", view.remarks_total)?;
    }
    let steps = paint::count(view.chain.links.len() as u64, "step", "steps");
    match view.chain.end.as_str() {
        "head" if view.chain.links.is_empty() => writeln!(out, "nothing took its place")?,
        "head" => writeln!(out, "what stands for it now, after {steps}: {}", view.chain.at)?,
        "retracted" if view.chain.links.is_empty() => writeln!(out, "it is retracted")?,
        "retracted" => writeln!(out, "what took its place, after {steps}, is retracted: {}", view.chain.at)?,
        "cycle" => writeln!(out, "what took its place leads in a circle to {}", view.chain.at)?,
        _ => writeln!(out, "more than {steps} lead on from {}", view.chain.at)?,
    }
    if view.lineage.ancestors > 0 {
        let ancestors = paint::count(view.lineage.ancestors, "claim", "claims");
        let more = if view.lineage.cut { ", and from more that were not looked at" } else { "" };
        writeln!(out, "derives from {ancestors}{more}; trust {}", view.lineage.trust)?;
    }
    if let Some(by) = &view.lineage.tainted_by {
        writeln!(out, "tainted: it derives from {by}, which is retracted")?;
    }
    Ok(())
}

/// A kind of supersession, told of the old claim.
fn past(kind: &str) -> &str {
    match kind {
        "replaces" => "replaced",
        "corrects" => "corrected",
        "refines" => "refined",
        other => other,
    }
}

#[derive(Deserialize)]
struct ImpactView {
    id: String,
    direct: u64,
    total: u64,
    depth: u64,
    questions: u64,
    complete: bool,
    nearest: Vec<NearView>,
}

#[derive(Deserialize)]
struct NearView {
    id: String,
    subject: String,
    predicate: String,
}

/// Claims that are printed.
const NEAREST_SHOWN: usize = 20;

fn print_impact(out: &mut dyn Write, view: ImpactView) -> Result<(), Failure> {
    if view.total == 0 {
        writeln!(out, "nothing derives from {}", view.id)?;
        return Ok(());
    }
    let at_least = if view.complete { "" } else { "at least " };
    let claims = paint::count(view.total, "claim derives", "claims derive");
    let questions = paint::count(view.questions, "question", "questions");
    let steps = paint::count(view.depth, "step", "steps");
    writeln!(out, "{at_least}{claims} from {}", view.id)?;
    writeln!(out, "{} directly, the farthest in {steps}, in {at_least}{questions}", view.direct)?;
    for near in view.nearest.iter().take(NEAREST_SHOWN) {
        writeln!(out, "  {}  {}  {}", near.id, visible(&near.subject), visible(&near.predicate))?;
    }
    let rest = view.total.saturating_sub(NEAREST_SHOWN.min(view.nearest.len()) as u64);
    if rest > 0 {
        writeln!(out, "  and {rest} more")?;
    }
    Ok(())
}
