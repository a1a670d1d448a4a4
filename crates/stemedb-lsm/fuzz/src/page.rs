//! The formats, read by their pages (`docs/formats/sst.md`, `manifest.md`, `frame.md`) and not by the code that writes them.
//!
//! Slow, plain, and strict: everything that the pages say is checked, and a difference is an error with the field's name.

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed, xxh3_128};

pub type Outcome<T> = Result<T, String>;

/// Fields off the front of some bytes.
pub struct Front<'a> {
    pub rest: &'a [u8],
}

impl<'a> Front<'a> {
    pub fn take(&mut self, n: usize, what: &str) -> Outcome<&'a [u8]> {
        if n > self.rest.len() {
            return Err(format!("{what}: {n} bytes wanted, {} left", self.rest.len()));
        }
        let (taken, rest) = self.rest.split_at(n);
        self.rest = rest;
        Ok(taken)
    }

    pub fn number(&mut self, n: usize, what: &str) -> Outcome<u64> {
        Ok(little(self.take(n, what)?))
    }

    pub fn text(&mut self, what: &str) -> Outcome<Vec<u8>> {
        let n = self.number(4, what)? as usize;
        Ok(self.take(n, what)?.to_vec())
    }

    pub fn end(&self, what: &str) -> Outcome<()> {
        same(what, self.rest.len(), 0)
    }
}

pub fn little(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |sum, byte| (sum << 8) | u64::from(*byte))
}

pub fn same<T: PartialEq + std::fmt::Debug>(what: &str, found: T, wanted: T) -> Outcome<()> {
    if found == wanted { Ok(()) } else { Err(format!("{what}: {found:?}, not {wanted:?}")) }
}

/// Key, LSN, and the value unless it is a removal.
pub type Version = (Vec<u8>, u64, Option<Vec<u8>>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Properties {
    pub file: u64,
    pub bytes: u64,
    pub lsns: (u64, u64),
    pub rows: u64,
    pub keys: u64,
    pub removals: u64,
    pub ranges: u64,
    pub data_bytes: u64,
    pub digest: u128,
    pub horizon: u64,
    pub derivation: u64,
    pub drops: u64,
    pub smallest: Vec<u8>,
    pub greatest: Vec<u8>,
}

pub fn properties(front: &mut Front<'_>) -> Outcome<Properties> {
    let mut number = |n: usize, what: &str| front.number(n, what);
    let file = number(8, "file")?;
    let bytes = number(8, "length")?;
    let lsns = (number(8, "smallest LSN")?, number(8, "greatest LSN")?);
    let (rows, keys, removals) = (number(8, "rows")?, number(8, "keys")?, number(8, "removals")?);
    let data_bytes = number(8, "bytes of rows")?;
    let (low, high) = (number(8, "digest")?, number(8, "digest")?);
    let digest = u128::from(high) << 64 | u128::from(low);
    let horizon = number(8, "horizon")?;
    let derivation = number(4, "derivation version")?;
    let flags = number(1, "flags")?;
    same("other flags", flags & !3, 0)?;
    let drops = flags & 1;
    let (smallest, greatest) = (front.text("smallest key")?, front.text("greatest key")?);
    let ranges = if flags & 2 == 0 { 0 } else { front.number(8, "pieces of removed ranges")? };
    same("pieces of removed ranges", flags & 2 != 0, ranges > 0)?;
    Ok(Properties {
        file,
        bytes,
        lsns,
        rows,
        keys,
        removals,
        ranges,
        data_bytes,
        digest,
        horizon,
        derivation,
        drops,
        smallest,
        greatest,
    })
}

/// What was seen of the optional parts of blocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    pub compressed: u64,
    pub zstd: u64,
    pub folded: u64,
    pub hash_indexes: u64,
    pub conflicts: u64,
    pub wide_starts: u64,
    pub equal_keys: u64,
    pub equal_values: u64,
    pub equal_lsns: u64,
    pub removals: u64,
}

/// Start and end of a span of removed keys, and the LSNs.
pub type Range = (Vec<u8>, Vec<u8>, Vec<u64>);

/// A whole table.
#[derive(Debug)]
pub struct Table {
    pub derivation: u64,
    /// Rows per data block.
    pub blocks: Vec<Vec<Version>>,
    pub separators: Vec<Vec<u8>>,
    pub ranges: Vec<Range>,
    pub key_filter: Vec<u8>,
    pub prefix_filter: Vec<u8>,
    pub properties: Properties,
    /// Of the change that it closes.
    pub record: Option<Record>,
    pub seen: Seen,
    /// Offset and length of what carries a checksum of its own: header, blocks, footer.
    pub parts: Vec<Part>,
}

/// The checksum of `bytes` that begin at `offset`.
pub fn checksum(database: &[u8; 16], file: u64, offset: u64, bytes: &[u8]) -> u64 {
    let seed = xxh3_64_with_seed(database, file) ^ offset.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    xxh3_64_with_seed(bytes, seed)
}

struct Opened<'a> {
    tag: u8,
    payload: std::borrow::Cow<'a, [u8]>,
}

fn sealed<'a>(
    bytes: &'a [u8],
    offset: usize,
    n: usize,
    database: &[u8; 16],
    file: u64,
) -> Outcome<Opened<'a>> {
    let what = format!("block at {offset}");
    let block = bytes.get(offset..offset + n).ok_or_else(|| format!("{what} is outside of the file"))?;
    let mut front = Front { rest: block };
    let payload = front.take(n.checked_sub(9).ok_or("a block shorter than its envelope")?, &what)?;
    let tag = front.take(1, "tag")?[0];
    same(&what, front.number(8, "checksum")?, checksum(database, file, offset as u64, &block[..n - 8]))?;
    if tag & 0xC0 == 0 {
        // Folded or not: see `folded_block`.
        return Ok(Opened { tag, payload: payload.into() });
    }
    let mut front = Front { rest: payload };
    let raw = front.number(4, "uncompressed length")? as usize;
    let is_lz4 = tag & 0x80 != 0;
    if raw > 64 << 20 || (is_lz4 && raw > payload.len() * 256) {
        return Err(format!("{what}: an uncompressed length of {raw}"));
    }
    let unpacked = if is_lz4 {
        lz4_flex::block::decompress(front.rest, raw).map_err(|error| format!("{what}: {error}"))?
    } else {
        zstd::bulk::decompress(front.rest, raw).map_err(|error| format!("{what}: {error}"))?
    };
    same("uncompressed length", unpacked.len(), raw)?;
    Ok(Opened { tag, payload: unpacked.into() })
}

/// Where strings lie that stand one behind the other: `starts` of `width` bytes each, or all equally long.
fn spans(starts: &[u8], width: usize, rows: usize, total: usize, what: &str) -> Outcome<Vec<(usize, usize)>> {
    let mut begins: Vec<usize> = match width {
        0 => {
            same(what, total % rows, 0)?;
            (0..rows).map(|row| row * (total / rows)).collect()
        }
        _ => starts.chunks(width).map(|start| little(start) as usize).collect(),
    };
    same(what, begins.first().copied(), Some(0))?;
    begins.push(total);
    if begins.windows(2).any(|pair| pair[0] > pair[1]) {
        return Err(format!("{what}: starts go back"));
    }
    Ok(begins.windows(2).map(|pair| (pair[0], pair[1])).collect())
}

/// A number in 7-bit groups, lowest first.
fn length(front: &mut Front<'_>, what: &str) -> Outcome<usize> {
    let mut n = 0;
    for group in 0..4 {
        let byte = front.number(1, what)? as usize;
        n |= (byte & 0x7F) << (7 * group);
        if byte < 0x80 {
            return Ok(n);
        }
    }
    Err(format!("{what}: more than 28 bits"))
}

/// A data block as it is in a file, folded: the plain one that it stands for.
pub fn unfolded_block(payload: &[u8]) -> Outcome<Vec<u8>> {
    let mut front = Front { rest: payload };
    let fixed = front.take(26, "fixed fields")?;
    let field = |at: usize, n: usize| little(&fixed[at..at + n]) as usize;
    let (rows, prefix_bytes, suffix_bytes, buckets) = (field(0, 4), field(4, 4), field(8, 4), field(12, 2));
    let (lsn_width, key_width, value_width, flags) = (field(14, 1), field(15, 1), field(16, 1), field(17, 1));
    let bits = front.number(1, "LSN bits")? as usize;
    same("LSN bits and width", bits == 0, lsn_width == 0)?;
    same("LSN bits", bits <= lsn_width * 8, true)?;
    let prefix = front.take(prefix_bytes, "prefix")?;
    let shared = front.take(rows, "shared")?.to_vec();
    let rests: Vec<usize> = (0..rows)
        .map(|row| match key_width {
            0 => (suffix_bytes / rows).checked_sub(usize::from(shared[row])).ok_or("a short key".to_owned()),
            _ => length(&mut front, "length of a rest"),
        })
        .collect::<Outcome<_>>()?;
    let values: Vec<usize> = (0..if value_width == 0 { 0 } else { rows })
        .map(|_| length(&mut front, "length of a value"))
        .collect::<Outcome<_>>()?;
    let packed = front.take((rows * bits).div_ceil(8), "LSNs")?;
    let bit = |at: usize| u64::from(packed[at / 8] >> (at % 8) & 1);
    let lsns = (0..rows).map(|row| (0..bits).map(|n| bit(row * bits + n) << n).sum::<u64>());
    let removals = front.take(if flags & 1 == 1 { rows.div_ceil(8) } else { 0 }, "removals")?;
    let mut suffixes: Vec<Vec<u8>> = Vec::new();
    for (shared, rest) in shared.iter().zip(&rests) {
        let before = suffixes.last().cloned().unwrap_or_default();
        let kept = before.get(..usize::from(*shared)).ok_or("more shared than there is")?;
        suffixes.push([kept, front.take(*rest, "rest")?].concat());
    }
    same("length of the suffixes", suffixes.iter().map(Vec::len).sum(), suffix_bytes)?;
    let mut block = fixed.to_vec();
    let mut index = vec![255u8; buckets];
    for (row, suffix) in suffixes.iter().enumerate() {
        if buckets > 0 && (row == 0 || suffixes[row - 1] != *suffix) {
            let middle = xxh3_64(&[prefix, suffix].concat()) >> 16 & 0xFFFF_FFFF;
            let bucket = &mut index[((middle * buckets as u64) >> 32) as usize];
            *bucket = if *bucket == 255 { row as u8 } else { 254 };
        }
    }
    block.extend(index);
    let starts = |lengths: &[usize], width: usize, block: &mut Vec<u8>| {
        let mut start = 0_usize;
        for length in lengths.iter().filter(|_| width > 0) {
            block.extend_from_slice(&start.to_le_bytes()[..width]);
            start += length;
        }
        start
    };
    starts(&suffixes.iter().map(Vec::len).collect::<Vec<_>>(), key_width, &mut block);
    let value_bytes = starts(&values, value_width, &mut block);
    if value_width > 0 {
        same("length of the values", front.rest.len(), value_bytes)?;
    }
    lsns.for_each(|lsn| block.extend_from_slice(&lsn.to_le_bytes()[..lsn_width]));
    block.extend_from_slice(removals);
    block.extend_from_slice(prefix);
    suffixes.iter().for_each(|suffix| block.extend_from_slice(suffix));
    block.extend_from_slice(front.rest);
    Ok(block)
}

/// A data block.
pub fn block(payload: &[u8], seen: &mut Seen) -> Outcome<Vec<Version>> {
    let mut front = Front { rest: payload };
    let rows = front.number(4, "rows")? as usize;
    let prefix = front.number(4, "prefix length")? as usize;
    let suffixes = front.number(4, "length of the suffixes")? as usize;
    let buckets = front.number(2, "buckets")? as usize;
    let lsn_width = front.number(1, "LSN width")? as usize;
    let key_width = front.number(1, "key start width")? as usize;
    let value_width = front.number(1, "value start width")? as usize;
    let flags = front.number(1, "flags")?;
    let smallest = front.number(8, "smallest LSN")?;
    let known = [0, 1, 2, 4, 8].contains(&lsn_width)
        && [0, 2, 4].contains(&key_width)
        && [0, 2, 4].contains(&value_width)
        && flags <= 1
        && rows > 0;
    same("widths and flags", known, true)?;
    let hash_index = front.take(buckets, "hash index")?;
    let key_starts = front.take(rows * key_width, "key starts")?;
    let value_starts = front.take(rows * value_width, "value starts")?;
    let lsns = front.take(rows * lsn_width, "LSNs")?;
    let removals = front.take(if flags & 1 == 1 { rows.div_ceil(8) } else { 0 }, "removals")?;
    let prefix = front.take(prefix, "prefix")?;
    let suffixes = front.take(suffixes, "suffixes")?;
    let values = front.rest;
    let keys = spans(key_starts, key_width, rows, suffixes.len(), "key starts")?;
    let places = spans(value_starts, value_width, rows, values.len(), "value starts")?;
    let mut found: Vec<Version> = Vec::new();
    for row in 0..rows {
        let delta = lsns.chunks(lsn_width.max(1)).nth(row).map_or(0, little);
        let lsn = smallest.checked_add(delta).ok_or("an LSN beyond the range")?;
        let removed = removals.get(row / 8).is_some_and(|bits| bits >> (row % 8) & 1 == 1);
        let value = &values[places[row].0..places[row].1];
        if removed {
            same("the value of a removal", value.len(), 0)?;
        }
        let key = [prefix, &suffixes[keys[row].0..keys[row].1]].concat();
        found.push((key, lsn, (!removed).then(|| value.to_vec())));
    }
    let ordered = found.windows(2).all(|pair| (&pair[0].0, pair[1].1) < (&pair[1].0, pair[0].1));
    same("the order of rows", ordered, true)?;
    // The hash index says what the page says of every distinct key.
    let mut firsts: Vec<(usize, &[u8])> = Vec::new();
    for (row, (key, ..)) in found.iter().enumerate() {
        if firsts.last().is_none_or(|(_, last)| *last != key.as_slice()) {
            firsts.push((row, key));
        }
    }
    let wanted = if (4..=254).contains(&rows) { firsts.len() * 4 / 3 + 1 } else { 0 };
    same("the number of buckets", buckets, wanted)?;
    let mut index = vec![255u8; buckets];
    for (row, key) in firsts.iter().filter(|_| buckets > 0) {
        let middle = xxh3_64(key) >> 16 & 0xFFFF_FFFF;
        let bucket = &mut index[((middle * buckets as u64) >> 32) as usize];
        *bucket = if *bucket == 255 { *row as u8 } else { 254 };
    }
    same("hash index", hash_index, &index[..])?;
    seen.hash_indexes += u64::from(buckets > 0);
    seen.conflicts += hash_index.iter().filter(|bucket| **bucket == 254).count() as u64;
    seen.wide_starts += u64::from(key_width == 4 || value_width == 4);
    seen.equal_keys += u64::from(key_width == 0);
    seen.equal_values += u64::from(value_width == 0);
    seen.equal_lsns += u64::from(lsn_width == 0);
    seen.removals += removals.iter().map(|bits| u64::from(bits.count_ones())).sum::<u64>();
    Ok(found)
}

/// Whether a filter's payload says "maybe" of some bytes.
pub fn filter_says_maybe(payload: &[u8], key: &[u8]) -> bool {
    if payload.is_empty() {
        return true;
    }
    let (probes, lines) = (little(&payload[..4]), &payload[4..]);
    let h = xxh3_64(key);
    let line = (((h >> 32) * (lines.len() as u64 / 64)) >> 32) as usize * 64;
    let mut x = h as u32;
    (0..probes).all(|_| {
        let bit = (x >> 23) as usize;
        x = x.wrapping_mul(0x9E37_79B9);
        lines[line + bit / 8] >> (bit % 8) & 1 == 1
    })
}

/// Offset and length.
type Part = (usize, usize);

fn index(payload: &[u8], data_end: usize) -> Outcome<(Vec<Vec<u8>>, Vec<Part>)> {
    let mut front = Front { rest: payload };
    let blocks = front.number(4, "blocks")? as usize;
    let prefix = front.text("separator prefix")?;
    let mut places = Vec::new();
    let mut offset = 48;
    for _ in 0..blocks {
        let n = front.number(4, "block length")? as usize;
        places.push((offset, n));
        offset += n;
    }
    same("where the data ends", offset, data_end)?;
    let ends: Vec<usize> = (0..blocks)
        .map(|_| front.number(4, "separator end").map(|end| end as usize))
        .collect::<Outcome<_>>()?;
    let suffixes = front.rest;
    same("the separators' bytes", ends.last().copied().unwrap_or(0), suffixes.len())?;
    let mut start = 0;
    let separators = ends
        .into_iter()
        .map(|end| {
            let suffix = suffixes.get(start..end).ok_or("separator ends go back")?;
            start = end;
            Ok([&prefix, suffix].concat())
        })
        .collect::<Outcome<_>>()?;
    Ok((separators, places))
}

/// A whole table file.
pub fn table(bytes: &[u8], database: [u8; 16], file: u64) -> Outcome<Table> {
    let mut front = Front { rest: bytes };
    same("magic", front.take(8, "magic")?, b"STEMSST\0")?;
    same("format", front.number(4, "format")?, 0)?;
    let derivation = front.number(4, "derivation version")?;
    same("database id", front.take(16, "database id")?, &database[..])?;
    same("file number", front.number(8, "file number")?, file)?;
    same("header checksum", front.number(8, "checksum")?, checksum(&database, file, 0, &bytes[..40]))?;
    let at = bytes.len().checked_sub(104).ok_or("no room for a footer")?;
    let mut front = Front { rest: &bytes[at..] };
    let mut handles = Vec::new();
    for what in ["key filter", "prefix filter", "index", "properties"] {
        handles.push((front.number(8, what)? as usize, front.number(4, what)? as usize));
    }
    same("length of the file", front.number(8, "length")?, bytes.len() as u64)?;
    same("database id", front.take(16, "database id")?, &database[..])?;
    same("file number", front.number(8, "file number")?, file)?;
    same("format", front.number(4, "format")?, 0)?;
    let ranges_bytes = front.number(4, "length of the removed ranges")? as usize;
    same(
        "footer checksum",
        front.number(8, "checksum")?,
        checksum(&database, file, at as u64, &bytes[at..at + 88]),
    )?;
    same("last magic", front.take(8, "magic")?, b"\0TSSMETS")?;
    front.end("footer")?;
    // Without gaps.
    let followed = handles.windows(2).all(|pair| pair[0].0 + pair[0].1 == pair[1].0);
    same("blocks follow each other", followed, true)?;
    same("the properties end where the footer begins", handles[3].0 + handles[3].1, at)?;
    let open = |nth: usize, tag: u8| -> Outcome<Vec<u8>> {
        let opened = sealed(bytes, handles[nth].0, handles[nth].1, &database, file)?;
        same("tag", opened.tag, tag)?;
        Ok(opened.payload.into_owned())
    };
    let (key_filter, prefix_filter) = (open(0, 3)?, open(1, 4)?);
    let data_end = handles[0].0.checked_sub(ranges_bytes).ok_or("removed ranges longer than the file")?;
    let (separators, places) = index(&open(2, 2)?, data_end)?;
    let ranges = match ranges_bytes {
        0 => Vec::new(),
        n => {
            let opened = sealed(bytes, data_end, n, &database, file)?;
            same("tag", opened.tag, 6)?;
            ranges(&opened.payload)?
        }
    };
    let opened = sealed(bytes, handles[3].0, handles[3].1, &database, file)?;
    let stored = opened.payload.into_owned();
    let mut front = Front { rest: &stored };
    let properties = properties(&mut front)?;
    let record = (!front.rest.is_empty()).then(|| record(front.rest)).transpose()?;
    // Compressed only with a record, and only if that helps.
    same("tag", opened.tag == 5 || (opened.tag == 0x85 && record.is_some()), true)?;
    let mut seen = Seen::default();
    let mut blocks = Vec::new();
    for (offset, n) in &places {
        let opened = sealed(bytes, *offset, *n, &database, file)?;
        same("tag", [0x01, 0x41, 0x81].contains(&(opened.tag & !0x20)), true)?;
        seen.compressed += u64::from(opened.tag & 0xC0 != 0);
        seen.zstd += u64::from(opened.tag & 0x40 != 0);
        if opened.tag & 0x20 == 0 {
            blocks.push(block(&opened.payload, &mut seen)?);
        } else {
            seen.folded += 1;
            blocks.push(block(&unfolded_block(&opened.payload)?, &mut seen)?);
        }
    }
    let removed = (ranges_bytes > 0).then_some((data_end, ranges_bytes));
    let parts =
        [(0, 48)].into_iter().chain(places).chain(removed).chain(handles).chain([(at, 104)]).collect();
    let table = Table {
        derivation,
        blocks,
        ranges,
        separators,
        key_filter,
        prefix_filter,
        properties,
        record,
        seen,
        parts,
    };
    table.adds_up(file)?;
    Ok(table)
}

impl Table {
    pub fn rows(&self) -> impl DoubleEndedIterator<Item = &Version> {
        self.blocks.iter().flatten()
    }

    fn adds_up(&self, file: u64) -> Outcome<()> {
        let rows: Vec<&Version> = self.rows().collect();
        let ordered = rows.windows(2).all(|pair| (&pair[0].0, pair[1].1) < (&pair[1].0, pair[0].1));
        same("the order of rows", ordered, true)?;
        for (at, (separator, block)) in self.separators.iter().zip(&self.blocks).enumerate() {
            let last = &block.last().ok_or("an empty block")?.0;
            same("a separator is not less than its block's keys", last <= separator, true)?;
            if let Some((next, ..)) = self.blocks.get(at + 1).and_then(|next| next.first()) {
                let fine = separator < next || (separator == next && last == next);
                same("a separator is less than the next block's keys, or their common one", fine, true)?;
            }
        }
        let mut keys: Vec<&[u8]> = rows.iter().map(|row| row.0.as_slice()).collect();
        keys.dedup();
        same("keys in the filter", keys.iter().all(|key| filter_says_maybe(&self.key_filter, key)), true)?;
        let p = &self.properties;
        same("file number", p.file, file)?;
        same("length in the properties", p.bytes, 0)?;
        same("pieces of removed ranges", p.ranges, self.pieces().count() as u64)?;
        let lsns = rows.iter().map(|row| row.1).chain(self.pieces().map(|(_, _, lsn)| lsn));
        same("LSNs", p.lsns, (lsns.clone().min().unwrap_or(0), lsns.max().unwrap_or(0)))?;
        same("rows", p.rows, rows.len() as u64)?;
        same("keys", p.keys, keys.len() as u64)?;
        same("removals", p.removals, rows.iter().filter(|row| row.2.is_none()).count() as u64)?;
        let bytes = |row: &&Version| row.0.len() + row.2.as_ref().map_or(0, Vec::len);
        let borders = self.ranges.iter().map(|(start, end, _)| start.len() + end.len()).sum::<usize>();
        same("bytes of rows", p.data_bytes, (rows.iter().map(bytes).sum::<usize>() + borders) as u64)?;
        let digest = rows.iter().fold(0u128, |sum, row| sum.wrapping_add(digest(row)));
        let digest = self.pieces().fold(digest, |sum, piece| sum.wrapping_add(range_digest(piece)));
        same("digest", p.digest, digest)?;
        same("derivation version", p.derivation, self.derivation)?;
        let first = self.ranges.first().map(|(start, ..)| start.as_slice());
        let last = self.ranges.last().map(|(_, end, _)| end.strip_suffix(&[0]).unwrap_or(end));
        same(
            "smallest key",
            Some(p.smallest.as_slice()),
            keys.first().copied().into_iter().chain(first).min(),
        )?;
        same("greatest key", Some(p.greatest.as_slice()), keys.last().copied().into_iter().chain(last).max())
    }

    /// Start, end, LSN.
    pub fn pieces(&self) -> impl Iterator<Item = (&[u8], &[u8], u64)> + Clone {
        self.ranges
            .iter()
            .flat_map(|(start, end, lsns)| lsns.iter().map(|lsn| (start.as_slice(), end.as_slice(), *lsn)))
    }
}

/// Of one piece of a removed range.
pub fn range_digest((start, end, lsn): (&[u8], &[u8], u64)) -> u128 {
    let mut bytes = lsn.to_le_bytes().to_vec();
    bytes.extend_from_slice(&(start.len() as u64).to_le_bytes());
    bytes.extend_from_slice(start);
    bytes.push(2);
    bytes.extend_from_slice(end);
    xxh3_128(&bytes)
}

/// The spans of removed ranges: start, end, LSNs.
fn ranges(payload: &[u8]) -> Outcome<Vec<Range>> {
    let mut front = Front { rest: payload };
    let mut ranges: Vec<Range> = Vec::new();
    for _ in 0..front.number(4, "spans")? {
        let (start, end) = (front.text("start")?, front.text("end")?);
        let lsns: Vec<u64> =
            (0..front.number(4, "LSNs")?).map(|_| front.number(8, "LSN")).collect::<Outcome<_>>()?;
        same("a span has keys and LSNs", start < end && !lsns.is_empty(), true)?;
        same("LSNs descend", lsns.is_sorted_by(|a, b| a > b), true)?;
        if let Some((_, before, theirs)) = ranges.last() {
            same(
                "spans are apart, or differ",
                *before < start || (*before == start && *theirs != lsns),
                true,
            )?;
        }
        ranges.push((start, end, lsns));
    }
    front.end("removed ranges")?;
    same("there are spans", ranges.is_empty(), false)?;
    Ok(ranges)
}

/// Of one row.
pub fn digest((key, lsn, value): &Version) -> u128 {
    let mut bytes = lsn.to_le_bytes().to_vec();
    bytes.extend_from_slice(&(key.len() as u64).to_le_bytes());
    bytes.extend_from_slice(key);
    bytes.push(u8::from(value.is_some()));
    bytes.extend_from_slice(value.as_deref().unwrap_or_default());
    xxh3_128(&bytes)
}

/// An edit of the manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    pub sequence: u64,
    pub next_file: u64,
    pub flushed: u64,
    pub horizon: u64,
    pub removed: Vec<u64>,
    pub obsolete: Vec<u64>,
    pub added: Vec<(u64, Properties)>,
    /// Oldest and newest version of the derivation.
    pub derived_by: Option<(u64, u64)>,
}

pub fn edit(payload: &[u8]) -> Outcome<Edit> {
    let mut front = Front { rest: payload };
    let sequence = front.number(8, "sequence")?;
    let (next_file, flushed, horizon) =
        (front.number(8, "next file")?, front.number(8, "flushed LSN")?, front.number(8, "horizon")?);
    let mut list = |what: &str| -> Outcome<Vec<u64>> {
        (0..front.number(4, what)?).map(|_| front.number(8, what)).collect()
    };
    let (removed, obsolete) = (list("removed")?, list("obsolete")?);
    let mut added = Vec::new();
    for _ in 0..front.number(4, "added")? {
        added.push((front.number(4, "level")?, properties(&mut front)?));
    }
    let derived_by = match front.rest.is_empty() {
        true => None,
        false => Some((front.number(4, "oldest derivation")?, front.number(4, "newest derivation")?)),
    };
    front.end("edit")?;
    Ok(Edit { sequence, next_file, flushed, horizon, removed, obsolete, added, derived_by })
}

/// What the table that closes a change says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub placing: u64,
    pub level: u64,
    pub state: Edit,
    pub edit: Edit,
}

pub fn record(bytes: &[u8]) -> Outcome<Record> {
    let mut front = Front { rest: bytes };
    let (placing, level) = (front.number(1, "placing")?, front.number(4, "level")?);
    same("placing and level", placing <= 1 && level <= 6, true)?;
    let state = edit(&front.text("state")?)?;
    same("a state removes nothing", state.removed.is_empty(), true)?;
    let edit = edit(&front.text("change")?)?;
    same("a change that has not been made has no number", edit.sequence, 0)?;
    front.end("record")?;
    Ok(Record { placing, level, state, edit })
}

/// A frame of the manifest: kind, watermark, payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub kind: u64,
    pub watermark: u64,
    pub payload: Vec<u8>,
    pub offset: usize,
    pub bytes: usize,
}

/// All frames of a manifest.
pub fn manifest(bytes: &[u8], database: [u8; 16], number: u64) -> Outcome<Vec<Frame>> {
    let mut frames = Vec::new();
    let (mut offset, mut chain) = (0, [0u8; 16]);
    while offset < bytes.len() {
        let whole = &bytes[offset..];
        let mut front = Front { rest: whole };
        same("magic", front.take(4, "magic")?, b"STEM")?;
        same("format", front.number(1, "format")?, 0)?;
        let kind = front.number(1, "kind")?;
        same("flags", front.number(2, "flags")?, 0)?;
        same("database id", front.take(16, "database id")?, &database[..])?;
        same("timeline", front.number(4, "timeline")?, 0)?;
        same("log", front.number(1, "log")?, 2)?;
        same("zero", front.number(3, "zero")?, 0)?;
        same("file number", front.number(8, "file number")?, number)?;
        same("offset", front.number(8, "offset")?, offset as u64)?;
        let payload = front.number(4, "payload length")? as usize;
        let length = front.number(4, "frame length")? as usize;
        same("whole sectors", length % 512, 0)?;
        same("first LSN", front.number(8, "first LSN")?, 0)?;
        same("count", front.number(4, "count")?, u64::from(kind != 3))?;
        same("zero", front.number(4, "zero")?, 0)?;
        let watermark = front.number(8, "watermark")?;
        same("chain", front.take(16, "chain")?, &chain[..])?;
        let content = front.take(payload, "payload")?;
        let padding = length.checked_sub(100 + payload).ok_or("a frame shorter than its payload")?;
        same("padding", front.take(padding, "padding")?.iter().any(|byte| *byte != 0), false)?;
        let crc = crc32fast::hash(&whole[..length - 4]);
        same("CRC-32", front.number(4, "CRC-32")?, u64::from(crc))?;
        chain.copy_from_slice(&blake3::hash(&whole[..96 + payload]).as_bytes()[..16]);
        frames.push(Frame { kind, watermark, payload: content.to_vec(), offset, bytes: length });
        offset += length;
    }
    Ok(frames)
}
