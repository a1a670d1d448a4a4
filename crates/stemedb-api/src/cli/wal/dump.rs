//! `wal dump`: segments, frames or entries, one a line.

use std::{
    io::{self, Write},
    path::Path,
};

use stemedb_env::Env;
use stemedb_wal::inspect::{Finding, FrameFound, FrameRole, Inspection, SegmentFound, inspect};

use super::{JournalPlace, damage_text, gap_text, short_path};
use crate::cli::{
    failure::Failure,
    paint::{self, ERROR, FAINT, WARN, paint},
};

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
    #[arg(long, value_name = "LSN")]
    from: Option<u64>,
    /// Leave out frames and entries after this LSN
    #[arg(long, value_name = "LSN")]
    to: Option<u64>,
}

/// Bytes of an entry that are shown.
const SHOWN_BYTES: usize = 20;

/// Prints; a damaged place is a line of its own, and `verify` is what fails for it.
pub fn run(args: &DumpArgs) -> Result<(), Failure> {
    let (from, to) = (args.from.unwrap_or(0), args.to.unwrap_or(u64::MAX));
    let has_range = args.from.is_some() || args.to.is_some();
    if has_range && !args.frames && !args.entries {
        return Err(Failure::usage(
            "--from and --to choose among frames or entries; add --frames or --entries",
        ));
    }
    if from > to {
        return Err(Failure::usage(format!("--from {from} is after --to {to}")));
    }
    let env = Env::real();
    let folder = args.place.folder()?;
    let mut dump = Dump {
        out: io::BufWriter::new(anstream::stdout().lock()),
        args,
        folder: &folder,
        range: from..=to,
        has_range,
        segment: None,
        has_head: false,
    };
    let mut printed = Ok(());
    let sums = inspect(&env, &folder, &args.place.archive, &mut |finding| {
        if printed.is_ok() {
            printed = dump.finding(finding);
        }
    })
    .map_err(|error| super::failed(&folder, &error))?;
    printed?;
    dump.end_segment()?;
    dump.sums(&sums)?;
    dump.out.flush()?;
    Ok(())
}

struct Dump<'a, W> {
    out: W,
    args: &'a DumpArgs,
    folder: &'a Path,
    range: std::ops::RangeInclusive<u64>,
    has_range: bool,
    segment: Option<Segment>,
    /// The line above the table is printed.
    has_head: bool,
}

/// The segment that is being walked through.
struct Segment {
    found: SegmentFound,
    /// Its line, or the lines above its frames, are printed.
    is_printed: bool,
    frames: u64,
    entries: u64,
    /// First and last.
    lsns: Option<(u64, u64)>,
    /// Where its last frame ends.
    end: u64,
    /// What is to be said below its line.
    notes: Vec<String>,
}

impl Segment {
    fn new(found: SegmentFound) -> Segment {
        Segment { found, is_printed: false, frames: 0, entries: 0, lsns: None, end: 0, notes: Vec::new() }
    }
}

impl<W: Write> Dump<'_, W> {
    fn is_table(&self) -> bool {
        !self.args.frames && !self.args.entries
    }

    fn head(&mut self) -> io::Result<()> {
        if !self.is_table() || self.has_head {
            return Ok(());
        }
        self.has_head = true;
        let head = format!(
            "{:>7}  {:<8}  {:>9}  {:>9}  {:>6}  {:>7}  {:<15}  file",
            "segment", "state", "on disk", "journal", "frames", "entries", "LSN"
        );
        writeln!(self.out, "{}", paint(FAINT, &head))
    }

    fn finding(&mut self, finding: &Finding) -> io::Result<()> {
        self.head()?;
        match finding {
            Finding::Segment(found) => {
                self.end_segment()?;
                self.segment = Some(Segment::new(found.clone()));
                Ok(())
            }
            Finding::Frame(frame) => self.frame(frame),
            Finding::Rest { bytes: 0, .. } => Ok(()),
            Finding::Rest { offset, bytes, .. } => {
                let bytes = paint::bytes(*bytes);
                self.note(&format!("{bytes} from offset {offset} on are not part of the journal"))
            }
            Finding::Gap { .. } => {
                self.end_segment()?;
                let text = gap_text(finding).unwrap_or_default();
                let recycled = matches!(finding, Finding::Gap { recycled: true, .. });
                writeln!(self.out, "{}", paint(if recycled { FAINT } else { WARN }, &text))
            }
            Finding::Damage(error) => self.note(&paint(ERROR, &damage_text(self.folder, error))),
        }
    }

    /// Something about the current segment, below its line.
    fn note(&mut self, text: &str) -> io::Result<()> {
        let is_table = self.is_table();
        if let Some(segment) = self.segment.as_mut().filter(|_| is_table) {
            segment.notes.push(text.to_owned());
            return Ok(());
        }
        self.open_segment()?;
        writeln!(self.out, "  {text}")
    }

    /// Above the frames of a segment.
    fn open_segment(&mut self) -> io::Result<()> {
        let Some(segment) = self.segment.as_mut().filter(|segment| !segment.is_printed) else {
            return Ok(());
        };
        segment.is_printed = true;
        let found = &segment.found;
        let state = if found.released { "released" } else { "live" };
        let form = found.compressed.map_or(String::new(), |form| format!(", {form}"));
        writeln!(
            self.out,
            "segment {}  {state}{form}  {}  {}",
            found.id,
            paint::bytes(found.file_bytes),
            short_path(self.folder, &found.path)
        )?;
        if self.args.frames {
            let head = format!("{:>12}  {:>9}  {:>12}  frame", "offset", "bytes", "durable to");
            writeln!(self.out, "{}", paint(FAINT, &head))?;
        }
        Ok(())
    }

    /// The line of a segment, when everything in it was seen.
    fn end_segment(&mut self) -> io::Result<()> {
        if !self.is_table() {
            // Without a range even a segment without frames is shown.
            return if self.has_range { Ok(()) } else { self.open_segment() };
        }
        let Some(segment) = self.segment.take() else { return Ok(()) };
        let found = &segment.found;
        let lsns = segment.lsns.map_or("none".to_owned(), |(first, last)| lsns(first, last));
        writeln!(
            self.out,
            "{:>7}  {:<8}  {:>9}  {:>9}  {:>6}  {:>7}  {:<15}  {}",
            found.id,
            if found.released { "released" } else { "live" },
            paint::bytes(found.file_bytes),
            paint::bytes(segment.end),
            paint::thousands(segment.frames),
            paint::thousands(segment.entries),
            lsns,
            short_path(self.folder, &found.path)
        )?;
        segment.notes.iter().try_for_each(|note| writeln!(self.out, "  {note}"))
    }

    fn frame(&mut self, frame: &FrameFound) -> io::Result<()> {
        let first = frame.first_lsn.0;
        let last = first.saturating_add(u64::from(frame.count)).saturating_sub(1);
        if let Some(segment) = &mut self.segment {
            segment.frames += 1;
            segment.entries += u64::from(frame.count);
            segment.end = frame.offset + frame.frame_bytes;
            if frame.count > 0 {
                segment.lsns = Some((segment.lsns.map_or(first, |(first, _)| first), last));
            }
        }
        // Frames without entries are between LSNs, so a range leaves them out.
        let is_inside = match frame.count {
            0 => !self.has_range,
            _ => last >= *self.range.start() && first <= *self.range.end(),
        };
        if self.is_table() || !is_inside {
            return Ok(());
        }
        self.open_segment()?;
        if self.args.frames {
            let what = match frame.role {
                FrameRole::Group { compressed } => {
                    let entries = paint::count(u64::from(frame.count), "entry", "entries");
                    let lz4 = if compressed { " as LZ4" } else { "" };
                    let bytes = paint::bytes(frame.payload_bytes);
                    format!("group   {entries}, LSN {}, {bytes}{lz4}", lsns(first, last))
                }
                FrameRole::Marker { closed: false } => "marker".to_owned(),
                FrameRole::Marker { closed: true } => "marker  the journal was closed here".to_owned(),
                FrameRole::Seal { successor } => format!("seal    goes on in segment {successor}"),
                FrameRole::Other => "unknown".to_owned(),
            };
            let (offset, bytes, durable) = (frame.offset, frame.frame_bytes, frame.watermark);
            writeln!(self.out, "{offset:>12}  {bytes:>9}  {durable:>12}  {what}")?;
        }
        if self.args.entries {
            for (lsn, entry) in (first..).zip(&frame.entries) {
                if self.range.contains(&lsn) {
                    self.entry(lsn, entry)?;
                }
            }
        }
        Ok(())
    }

    fn entry(&mut self, lsn: u64, entry: &[u8]) -> io::Result<()> {
        let shown = entry.get(..SHOWN_BYTES.min(entry.len())).unwrap_or_default();
        let hex: String = shown.iter().map(|byte| format!("{byte:02x}")).collect();
        let text: String = shown
            .iter()
            .map(|&byte| if (0x20..0x7f).contains(&byte) { char::from(byte) } else { '·' })
            .collect();
        let bytes = paint::bytes(entry.len() as u64);
        let width = 2 * SHOWN_BYTES;
        writeln!(self.out, "  LSN {lsn:<8}  {bytes:>9}  {hex:<width$}  {text}")
    }

    fn sums(&mut self, sums: &Inspection) -> io::Result<()> {
        let lsns = if sums.entries == 0 {
            String::new()
        } else {
            format!(" (LSN {})", lsns(sums.first_lsn.0, sums.last_lsn.0))
        };
        writeln!(
            self.out,
            "{}, {}, {}{lsns}: {} of entries in {} on disk",
            paint::count(sums.segments, "segment", "segments"),
            paint::count(sums.frames, "frame", "frames"),
            paint::count(sums.entries, "entry", "entries"),
            paint::bytes(sums.entry_bytes),
            paint::bytes(sums.file_bytes),
        )?;
        if sums.damages > 0 {
            let places = paint::count(sums.damages, "damaged place", "damaged places");
            writeln!(self.out, "{}", paint(ERROR, &places))?;
        }
        Ok(())
    }
}

fn lsns(first: u64, last: u64) -> String {
    if first == last { first.to_string() } else { format!("{first} to {last}") }
}
