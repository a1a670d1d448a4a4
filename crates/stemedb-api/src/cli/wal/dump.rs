//! `wal dump`: segments, frames or entries, one a line.

use std::io::{self, Write};

use stemedb_env::{Env, Lsn};
use stemedb_wal::inspect::{Finding, FrameFound, FrameRole, SegmentFound, inspect};

use super::JournalPlace;
use crate::cli::{failure::Failure, paint};

/// Print the segments of a journal, their frames (--frames) or their entries (--entries)
#[derive(Debug, clap::Args)]
pub struct DumpArgs {
    #[command(flatten)]
    place: JournalPlace,
    /// A line for each frame
    #[arg(long)]
    frames: bool,
    /// A line for each entry, with its first bytes
    #[arg(long)]
    entries: bool,
    /// Leave out frames and entries before this LSN
    #[arg(long, value_name = "LSN", default_value_t = 0)]
    from: u64,
    /// Leave out frames and entries after this LSN
    #[arg(long, value_name = "LSN", default_value_t = u64::MAX)]
    to: u64,
}

/// Bytes of an entry that are shown.
const SHOWN_BYTES: usize = 24;

/// Prints; a damaged place is a line of its own, and `verify` is what fails for it.
pub fn run(args: &DumpArgs) -> Result<(), Failure> {
    let env = Env::real();
    let folder = args.place.folder()?;
    let mut out = io::BufWriter::new(anstream::stdout().lock());
    let mut printed = Ok(());
    let sums = inspect(&env, &folder, &args.place.archive, &mut |finding| {
        if printed.is_ok() {
            printed = print(&mut out, args, finding);
        }
    })
    .map_err(|error| Failure::new(error).context(format!("the journal in {}", folder.display())))?;
    printed?;
    writeln!(
        out,
        "{}, {}, {} (LSN {} to {}), {} of entries in {} of files",
        paint::count(sums.segments, "segment", "segments"),
        paint::count(sums.frames, "frame", "frames"),
        paint::count(sums.entries, "entry", "entries"),
        sums.first_lsn,
        sums.last_lsn,
        paint::bytes(sums.entry_bytes),
        paint::bytes(sums.file_bytes),
    )?;
    out.flush()?;
    Ok(())
}

fn print(out: &mut impl Write, args: &DumpArgs, finding: &Finding) -> io::Result<()> {
    match finding {
        Finding::Segment(segment) => print_segment(out, segment),
        Finding::Frame(frame) => {
            let last = frame.first_lsn.0.saturating_add(u64::from(frame.count)).saturating_sub(1);
            let outside = frame.count > 0 && (last < args.from || frame.first_lsn.0 > args.to);
            if outside { Ok(()) } else { print_frame(out, args, frame) }
        }
        Finding::Rest { offset, bytes: 0, .. } if args.frames => {
            writeln!(out, "  {offset:>10}  room allocated ahead")
        }
        Finding::Rest { bytes: 0, .. } => Ok(()),
        Finding::Rest { offset, bytes, .. } => {
            writeln!(out, "  {offset:>10}  {bytes} bytes that are not part of the journal")
        }
        Finding::Gap { first_segment, last_segment, first_lsn, last_lsn, recycled } => {
            let segments = if first_segment == last_segment {
                format!("segment {first_segment}")
            } else {
                format!("segments {first_segment} to {last_segment}")
            };
            let why = if *recycled { "recycled" } else { "MISSING" };
            match last_lsn {
                Some(last) if last < first_lsn => writeln!(out, "{segments}: {why}, without entries"),
                Some(last) => writeln!(out, "{segments}: {why}, LSN {first_lsn} to {last}"),
                None => writeln!(out, "{segments}: {why}, from LSN {first_lsn} on"),
            }
        }
        Finding::Damage(error) => writeln!(out, "DAMAGED: {error}"),
    }
}

fn print_segment(out: &mut impl Write, segment: &SegmentFound) -> io::Result<()> {
    let state = if segment.released { "released" } else { "live" };
    let form = segment.compressed.map_or(String::new(), |form| format!(", {form}"));
    let accepted = match segment.accepted_bytes {
        Some(bytes) => format!("accepted {}", paint::bytes(bytes)),
        None => "newest".to_owned(),
    };
    writeln!(
        out,
        "segment {:06}  {state}{form}  from LSN {}  {accepted}  {} in {}",
        segment.id,
        segment.first_lsn,
        paint::bytes(segment.file_bytes),
        segment.path.display()
    )
}

fn print_frame(out: &mut impl Write, args: &DumpArgs, frame: &FrameFound) -> io::Result<()> {
    if args.frames {
        let what = match frame.role {
            FrameRole::Group { compressed } => {
                let last = frame.first_lsn.0 + u64::from(frame.count).saturating_sub(1);
                let packed = if compressed { ", LZ4" } else { "" };
                format!(
                    "group   LSN {} to {last}, {} bytes of payload{packed}",
                    frame.first_lsn, frame.payload_bytes
                )
            }
            FrameRole::Marker { closed: false } => "marker".to_owned(),
            FrameRole::Marker { closed: true } => "marker  closed".to_owned(),
            FrameRole::Seal { successor } => format!("seal    goes on in segment {successor}"),
            FrameRole::Other => "unknown".to_owned(),
        };
        let (offset, bytes, durable) = (frame.offset, frame.frame_bytes, frame.watermark);
        writeln!(out, "  {offset:>10} {bytes:>9}  durable {durable:>10}  {what}")?;
    }
    if args.entries {
        for (lsn, entry) in (frame.first_lsn.0..).zip(&frame.entries) {
            if (args.from..=args.to).contains(&lsn) {
                let shown = entry.get(..SHOWN_BYTES.min(entry.len())).unwrap_or_default();
                let hex: String = shown.iter().map(|byte| format!("{byte:02x}")).collect();
                let text: String = shown
                    .iter()
                    .map(|&byte| if (0x20..0x7f).contains(&byte) { char::from(byte) } else { '·' })
                    .collect();
                writeln!(out, "    LSN {:<10} {:>8} bytes  {hex:<48}  {text}", Lsn(lsn), entry.len())?;
            }
        }
    }
    Ok(())
}
