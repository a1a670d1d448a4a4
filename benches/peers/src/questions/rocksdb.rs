//! RocksDB with keys made by hand: the claims of a question lie together under its subject and predicate, newest first, and
//! hold everything, so that one short scan finds them. Votes and supersessions lie under the id of their claim, whose
//! prefix has a filter. Postings by id, source and predicate are written too.

use std::{collections::HashMap, path::Path};

use rocksdb::{
    BlockBasedOptions, BottommostLevelCompaction, Cache, CompactOptions, DB, DBCompressionType,
    DataBlockIndexType, FlushOptions, Options, ReadOptions, SliceTransform, WaitForCompactOptions,
    WriteBatch, WriteOptions,
};
use stemedb_core::{
    AgentId, Answer, Candidate, ClaimId, Command, CommandRef, Lens, LiveVote, Micros, Nano, SetAside,
    SourceClass,
};

use super::{
    contender::{Asker, ClaimStore, Contender, look},
    data::{Batch, Question},
};
use crate::engine::{Kind, Result};

const CLAIM: u8 = b'c';
const BY_ID: u8 = b'i';
const BY_SOURCE: u8 = b's';
const BY_PREDICATE: u8 = b'p';
const VOTE: u8 = b'v';
const SUPERSEDED: u8 = b'x';
const SOURCE: u8 = b'o';
const ENTRY: u8 = b'e';
const POSITION_BYTES: usize = 12;
const ID_BYTES: usize = 32;

/// The contender.
#[derive(Clone, Copy, Debug)]
pub struct RocksDb {
    /// For its block cache.
    pub cache_bytes: usize,
}

struct Opened {
    db: DB,
    writes: WriteOptions,
}

struct View<'a> {
    db: &'a DB,
    reads: ReadOptions,
}

/// Through the second NUL for claims, through the id for what lies under one; everything else has no prefix.
fn prefix_of(key: &[u8]) -> &[u8] {
    let bytes = match key.first() {
        Some(&CLAIM) => {
            let mut nuls = key.iter().enumerate().filter(|(_, byte)| **byte == 0).map(|(at, _)| at);
            nuls.nth(1).map_or(key.len(), |at| at + 1)
        }
        Some(&(VOTE | SUPERSEDED)) => key.len().min(1 + ID_BYTES),
        _ => key.len(),
    };
    key.get(..bytes).unwrap_or(key)
}

fn options(cache_bytes: usize) -> Options {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_bloom_filter(10.0, false);
    blocks.set_block_cache(&Cache::new_hyper_clock_cache(cache_bytes, 0));
    blocks.set_block_size(4 << 10);
    blocks.set_cache_index_and_filter_blocks(false);
    blocks.set_data_block_index_type(DataBlockIndexType::BinaryAndHash);
    blocks.set_format_version(6);
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_block_based_table_factory(&blocks);
    options.set_prefix_extractor(SliceTransform::create("claims", prefix_of, None));
    options.set_memtable_prefix_bloom_ratio(0.1);
    options.set_max_open_files(-1);
    options.set_bytes_per_sync(1 << 20);
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_level_compaction_dynamic_level_bytes(true);
    options.set_max_background_jobs(2);
    options.set_write_buffer_size(64 << 20);
    options
}

impl Contender for RocksDb {
    fn name(&self) -> &'static str {
        "rocksdb"
    }

    fn kind(&self) -> Kind {
        Kind::Peer
    }

    fn version(&self) -> String {
        "RocksDB 11.8.1".to_owned()
    }

    fn configuration(&self) -> String {
        format!(
            "{} (crate 0.25.0): keys made by hand, the claims of a question side by side, filters over questions \
             and over the ids of voted and superseded claims; LZ4, 4 KiB blocks with a hash index, HyperClockCache {} MiB, \
             indexes and filters outside of it, dynamic levels, compacted before it is asked; durable: WriteBatch with sync",
            self.version(),
            self.cache_bytes >> 20
        )
    }

    fn create(&self, folder: &Path) -> Result<Box<dyn ClaimStore>> {
        let db = DB::open(&options(self.cache_bytes), folder.join("rocksdb"))?;
        let mut writes = WriteOptions::default();
        writes.set_sync(true);
        Ok(Box::new(Opened { db, writes }))
    }
}

fn question_key(question: &Question) -> Vec<u8> {
    let mut key = vec![CLAIM];
    push_text(&mut key, &question.subject);
    push_text(&mut key, &question.predicate);
    key
}

fn push_text(key: &mut Vec<u8>, text: &str) {
    key.extend_from_slice(text.as_bytes());
    key.push(0);
}

fn position(lsn: u64, ordinal: u32) -> [u8; POSITION_BYTES] {
    let mut bytes = [0; POSITION_BYTES];
    bytes[..8].copy_from_slice(&lsn.to_be_bytes());
    bytes[8..].copy_from_slice(&ordinal.to_be_bytes());
    bytes
}

fn newest_first(lsn: u64, ordinal: u32) -> [u8; POSITION_BYTES] {
    position(!lsn, !ordinal)
}

fn under(tag: u8, id: &[u8; ID_BYTES]) -> Vec<u8> {
    let mut key = vec![tag];
    key.extend_from_slice(id);
    key
}

impl ClaimStore for Opened {
    fn record(&mut self, batch: &Batch) -> Result<()> {
        let mut writes = WriteBatch::default();
        for (ordinal, (command, id)) in (0..).zip(&batch.commands) {
            let at = newest_first(batch.lsn, ordinal);
            match (command, id) {
                (Command::Assert(claim), Some(id)) => {
                    let question =
                        Question { subject: claim.subject.clone(), predicate: claim.predicate.clone() };
                    let mut key = question_key(&question);
                    let mut place = at.to_vec();
                    place.extend_from_slice(key.get(1..).unwrap_or_default());
                    key.extend_from_slice(&at);
                    key.extend_from_slice(&id.0);
                    let mut value = batch.recorded_at.0.to_be_bytes().to_vec();
                    command.encode(&mut value);
                    writes.put(key, value);
                    writes.put(under(BY_ID, &id.0), &place);
                    let mut key = vec![BY_SOURCE];
                    push_text(&mut key, &claim.source);
                    key.extend_from_slice(&position(batch.lsn, ordinal));
                    writes.put(key, place.get(POSITION_BYTES..).unwrap_or_default());
                    let mut key = vec![BY_PREDICATE];
                    push_text(&mut key, &claim.predicate);
                    push_text(&mut key, &claim.subject);
                    key.extend_from_slice(&position(batch.lsn, ordinal));
                    writes.put(key, []);
                }
                (Command::Vote(vote), _) => {
                    let mut key = under(VOTE, &vote.assertion.0);
                    key.extend_from_slice(&vote.agent.0);
                    key.extend_from_slice(&at);
                    writes.put(key, vote.weight.0.to_be_bytes());
                }
                (Command::Supersede(change), _) => {
                    let mut key = under(SUPERSEDED, &change.old.0);
                    key.extend_from_slice(&at);
                    writes.put(key, change.new.map_or(&[][..], |_| &[1][..]));
                }
                (Command::Source(source), _) => {
                    let mut key = vec![SOURCE];
                    key.extend_from_slice(source.id.as_bytes());
                    writes.put(key, [source.class.number()]);
                }
                _ => return Err("a record that has no key".into()),
            }
        }
        let mut key = vec![ENTRY];
        key.extend_from_slice(&batch.lsn.to_be_bytes());
        writes.put(key, batch.recorded_at.0.to_be_bytes());
        Ok(self.db.write_opt(writes, &self.writes)?)
    }

    fn settle(&mut self) -> Result<()> {
        let mut wait = FlushOptions::default();
        wait.set_wait(true);
        self.db.flush_opt(&wait)?;
        let mut everything = CompactOptions::default();
        everything.set_bottommost_level_compaction(BottommostLevelCompaction::ForceOptimized);
        self.db.compact_range_opt::<&[u8], &[u8]>(None, None, &everything);
        self.db.wait_for_compact(&WaitForCompactOptions::default())?;
        Ok(())
    }

    fn asker(&self) -> Result<Box<dyn Asker + '_>> {
        let mut reads = ReadOptions::default();
        reads.set_prefix_same_as_start(true);
        Ok(Box::new(View { db: &self.db, reads }))
    }
}

/// A scan of one prefix, whose filter says at once if there is nothing.
fn within() -> ReadOptions {
    let mut reads = ReadOptions::default();
    reads.set_prefix_same_as_start(true);
    reads
}

impl View<'_> {
    fn votes(&self, id: &[u8; ID_BYTES]) -> Result<Vec<LiveVote>> {
        let mut votes: Vec<LiveVote> = Vec::new();
        let prefix = under(VOTE, id);
        let mut rows = self.db.raw_iterator_opt(within());
        rows.seek(&prefix);
        while let Some((key, weight)) = rows.item() {
            let agent =
                AgentId(key.get(prefix.len()..prefix.len() + ID_BYTES).ok_or("a short key")?.try_into()?);
            // Each agent's newest comes first.
            if votes.last().is_none_or(|last| last.agent != agent) {
                votes.push(LiveVote { agent, weight: Nano(i64::from_be_bytes(weight.try_into()?)) });
            }
            rows.next();
        }
        rows.status()?;
        Ok(votes)
    }

    fn set_aside(&self, id: &[u8; ID_BYTES]) -> Result<Option<SetAside>> {
        let mut found = None;
        let mut rows = self.db.raw_iterator_opt(within());
        rows.seek(under(SUPERSEDED, id));
        while let Some((_, new)) = rows.item() {
            let reason = if new.is_empty() { SetAside::Retracted } else { SetAside::Superseded };
            found = Some(found.map_or(reason, |before: SetAside| before.min(reason)));
            rows.next();
        }
        rows.status()?;
        Ok(found)
    }

    fn class_of(&self, source: &str) -> Result<SourceClass> {
        let mut key = vec![SOURCE];
        key.extend_from_slice(source.as_bytes());
        let class = self.db.get_pinned_opt(key, &self.reads)?.and_then(|class| class.first().copied());
        class.map_or(Ok(SourceClass::ANECDOTAL), |class| {
            SourceClass::new(class).map_err(|_| "a class that does not exist".into())
        })
    }
}

impl Asker for View<'_> {
    fn ask(&mut self, question: &Question, lens: Lens) -> Result<Answer> {
        let prefix = question_key(question);
        let mut classes: HashMap<String, SourceClass> = HashMap::new();
        let mut candidates = Vec::new();
        let mut rows = self.db.raw_iterator_opt(within());
        rows.seek(&prefix);
        while let Some((key, value)) = rows.item() {
            let rest = key.get(prefix.len()..).ok_or("a short key")?;
            let (at, id) = rest.split_first_chunk::<POSITION_BYTES>().ok_or("a short key")?;
            let id: [u8; ID_BYTES] = id.try_into()?;
            let (recorded_at, mut command) = value.split_first_chunk::<8>().ok_or("a short value")?;
            let CommandRef::Assert(claim) = CommandRef::decode(&mut command)? else {
                return Err("a claim that is none".into());
            };
            let assertion = claim.to_assertion();
            let class = match (assertion.source_class, classes.get(&assertion.source)) {
                (Some(class), _) | (None, Some(&class)) => class,
                (None, None) => {
                    let class = self.class_of(&assertion.source)?;
                    classes.insert(assertion.source.clone(), class);
                    class
                }
            };
            let (lsn, ordinal) = at.split_first_chunk::<8>().ok_or("a short key")?;
            candidates.push(Candidate {
                id: ClaimId(id),
                lsn: !u64::from_be_bytes(*lsn),
                ordinal: !u32::from_be_bytes(ordinal.try_into()?),
                recorded_at: Micros(i64::from_be_bytes(*recorded_at)),
                class,
                trust: Nano::HALF,
                cosigners: Vec::new(),
                votes: self.votes(&id)?,
                set_aside: self.set_aside(&id)?,
                tainted: None,
                lineage_cut: false,
                assertion,
            });
            rows.next();
        }
        rows.status()?;
        Ok(look(lens, &candidates))
    }
}
