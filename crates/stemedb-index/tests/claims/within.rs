//! A derivation within a span is the whole derivation without what lies outside: for entries of every kind of command, and
//! spans that begin and end at rows, beside them, inside their keys and between families.

use std::ops::RangeInclusive;

use proptest::{collection::vec, option::of, prelude::*, sample::Index};
use stemedb_core::{
    Agent, AgentId, Assertion, ClaimId, Command, Cosign, Epoch, Nano, Object, Signature, SignatureBytes,
    Source, SourceClass, Supersession, SupersessionKind, Vote,
};
use stemedb_env::{Lsn, Micros};
use stemedb_index::{Admit as _, Claims, Derive, Family, KeyValues, Result, ViewRow};
use stemedb_lsm::{KvStore as _, MemStore, Op, WriteBatch};

/// A derivation that does not know how to derive less.
struct AsGiven<D>(D);

impl<D: Derive> Derive for AsGiven<D> {
    const VERSION: u32 = D::VERSION;

    fn derive(&self, lsn: Lsn, entry: &[u8], rows: &mut WriteBatch) -> Result<()> {
        self.0.derive(lsn, entry, rows)
    }

    fn invert(&self, lsn: Lsn, rows: &[ViewRow]) -> Result<Option<Vec<u8>>> {
        self.0.invert(lsn, rows)
    }

    fn recorded_at(&self, lsn: Lsn, entry: &[u8]) -> Result<Option<Micros>> {
        self.0.recorded_at(lsn, entry)
    }

    fn filtered_prefix_bytes(key: &[u8]) -> usize {
        D::filtered_prefix_bytes(key)
    }
}

/// Few names, some of them the beginning of others.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![8 => "[ab]{1,3}", 1 => "[a-cä€]{1,20}"]
}

/// Few of them, some alike up to their last byte.
fn bytes_32() -> impl Strategy<Value = [u8; 32]> {
    (0_u8..3, 0_u8..3).prop_map(|(all, last)| {
        let mut bytes = [all; 32];
        bytes[31] = last;
        bytes
    })
}

fn id() -> impl Strategy<Value = ClaimId> {
    bytes_32().prop_map(ClaimId)
}

fn agent() -> impl Strategy<Value = AgentId> {
    bytes_32().prop_map(AgentId)
}

fn assertion() -> impl Strategy<Value = Assertion> {
    let signature = agent().prop_map(|agent| Signature { agent, bytes: SignatureBytes([7; 64]) });
    let what = (name(), name(), any::<i64>().prop_map(Object::Integer), name());
    (what, of(agent()), vec(id(), 0..3), vec(signature, 0..3)).prop_map(
        |(what, author, parents, signatures)| {
            let mut claim = Assertion::new(what.0, what.1, what.2, what.3);
            (claim.author, claim.parents, claim.signatures) = (author, parents, signatures);
            claim.normalize();
            claim
        },
    )
}

fn supersession() -> impl Strategy<Value = Supersession> {
    (id(), of(id()), of(agent())).prop_map(|(old, new, agent)| {
        let mut record = match new {
            Some(new) => Supersession::replace(old, new, SupersessionKind::Corrects),
            None => Supersession::retract(old),
        };
        record.agent = agent;
        record
    })
}

fn command() -> impl Strategy<Value = Command> {
    let cosign = (id(), agent()).prop_map(|(claim, agent)| Cosign {
        claim,
        agent,
        signature: SignatureBytes([9; 64]),
    });
    prop_oneof![
        6 => assertion().prop_map(Command::Assert),
        1 => (id(), agent()).prop_map(|(id, agent)| Command::Vote(Vote::new(id, agent, Nano::ONE))),
        1 => supersession().prop_map(Command::Supersede),
        1 => name().prop_map(|name| Command::Epoch(Epoch::new(name))),
        1 => name().prop_map(|id| Command::Source(Source::new(id, SourceClass::new(1).unwrap()))),
        1 => cosign.prop_map(Command::Cosign),
        1 => agent().prop_map(|id| Command::Agent(Agent::new(id))),
    ]
}

/// As the page of the format says.
fn claims_entry(commands: &[Command]) -> Vec<u8> {
    let mut entry = vec![1];
    entry.extend_from_slice(&1_234_567_i64.to_be_bytes());
    entry.extend_from_slice(&u32::try_from(commands.len()).unwrap().to_be_bytes());
    commands.iter().for_each(|command| command.encode(&mut entry));
    entry
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    vec(0_u8..3, 0..4)
}

/// An entry of puts, removals, and removals of ranges, empty ones among them.
fn rows_entry() -> impl Strategy<Value = Vec<u8>> {
    vec((0_u8..3, key(), key()), 0..12).prop_map(|ops| {
        let mut batch = WriteBatch::new();
        for (kind, key, other) in &ops {
            match kind {
                0 => batch.put(key, other),
                1 => batch.delete(key),
                _ => batch.delete_range(key, other),
            }
        }
        let view = MemStore::new().snapshot();
        KeyValues.admit(batch, &view, &mut (), Lsn(1), Micros(0)).unwrap().entry.unwrap()
    })
}

/// How a border of a span follows from a key that has been derived.
#[derive(Clone, Debug)]
enum Border {
    /// The key itself.
    At(Index),
    /// As much of it.
    Cut(Index, Index),
    /// One of its bytes is one more or one less.
    Beside(Index, Index, bool),
    /// More than it.
    Behind(Index, u8),
    /// Where a family begins.
    Family(u8),
    /// Anywhere.
    Bytes(Vec<u8>),
}

impl Border {
    fn of(&self, keys: &[Vec<u8>]) -> Vec<u8> {
        let key = |at: &Index| if keys.is_empty() { Vec::new() } else { at.get(keys).clone() };
        match self {
            Border::At(at) => key(at),
            Border::Cut(at, len) => {
                let mut key = key(at);
                key.truncate(len.index(key.len() + 1));
                key
            }
            Border::Beside(at, byte, more) => {
                let mut key = key(at);
                if !key.is_empty() {
                    let byte = byte.index(key.len());
                    key[byte] = if *more { key[byte].wrapping_add(1) } else { key[byte].wrapping_sub(1) };
                }
                key
            }
            Border::Behind(at, byte) => {
                let mut key = key(at);
                key.push(*byte);
                key
            }
            Border::Family(tag) => vec![*tag],
            Border::Bytes(bytes) => bytes.clone(),
        }
    }
}

fn border() -> impl Strategy<Value = Border> {
    let index = any::<Index>;
    prop_oneof![
        index().prop_map(Border::At),
        (index(), index()).prop_map(|(at, len)| Border::Cut(at, len)),
        (index(), index(), any::<bool>()).prop_map(|(at, byte, more)| Border::Beside(at, byte, more)),
        (index(), any::<u8>()).prop_map(|(at, byte)| Border::Behind(at, byte)),
        (0_u8..=14).prop_map(Border::Family),
        vec(any::<u8>(), 0..3).prop_map(Border::Bytes),
    ]
}

/// What becomes of an entry: its operations, or the words of an error.
type Told = std::result::Result<Vec<(u8, Vec<u8>, Option<Vec<u8>>)>, String>;

fn told(derived: Result<()>, rows: &WriteBatch, keeps: impl Fn(&Op<'_>) -> bool) -> Told {
    derived.map_err(|error| format!("{error:?}"))?;
    let kept = rows.iter().filter(keeps).map(|op| match op {
        Op::Put { key, value } => (1, key.to_vec(), Some(value.to_vec())),
        Op::Delete { key } => (0, key.to_vec(), None),
        Op::DeleteRange { start, end } => (2, start.to_vec(), Some(end.to_vec())),
    });
    Ok(kept.collect())
}

/// Derived whole, and then looked at key by key: a range has a key in common with the span if its first one is there or that of
/// the span is in the range.
fn filtered<D: Derive>(derive: &D, entry: &[u8], keys: &RangeInclusive<&[u8]>) -> Told {
    let mut rows = WriteBatch::new();
    let derived = derive.derive(Lsn(5), entry, &mut rows);
    told(derived, &rows, |op| match op {
        Op::Put { key, .. } | Op::Delete { key } => keys.contains(key),
        Op::DeleteRange { start, end } => {
            keys.contains(start) || (!keys.is_empty() && (*start..*end).contains(keys.start()))
        }
    })
}

fn within<D: Derive>(derive: &D, entry: &[u8], keys: &RangeInclusive<&[u8]>) -> Told {
    let mut rows = WriteBatch::new();
    // What is in the batch already stays there.
    rows.put(b"before", b"");
    let derived = derive.derive_within(Lsn(5), entry, keys, &mut rows);
    told(derived, &rows, |_| true).map(|mut rows| {
        assert_eq!(rows.remove(0), (1, b"before".to_vec(), Some(Vec::new())));
        rows
    })
}

fn compare<D: Derive + Copy>(
    derive: D,
    entry: &[u8],
    borders: &[(Border, Border)],
) -> std::result::Result<(), TestCaseError> {
    let mut rows = WriteBatch::new();
    let _ = derive.derive(Lsn(5), entry, &mut rows);
    let keys: Vec<Vec<u8>> = rows.iter().map(|op| op.key().to_vec()).collect();
    for (first, last) in borders {
        let (first, last) = (first.of(&keys), last.of(&keys));
        // Both ways: an empty span is one too.
        for keys in [first.as_slice()..=last.as_slice(), last.as_slice()..=first.as_slice()] {
            let expected = filtered(&derive, entry, &keys);
            prop_assert_eq!(&within(&derive, entry, &keys), &expected, "{:?}", keys);
            prop_assert_eq!(&within(&AsGiven(derive), entry, &keys), &expected, "as given, {:?}", keys);
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn of_claims_it_is_the_whole_without_the_rest(
        commands in vec(command(), 0..8),
        borders in vec((border(), border()), 12),
    ) {
        compare(Claims, &claims_entry(&commands), &borders)?;
    }

    #[test]
    fn of_plain_rows_it_is_the_whole_without_the_rest(
        entry in rows_entry(),
        borders in vec((border(), border()), 12),
    ) {
        compare(KeyValues, &entry, &borders)?;
    }

    #[test]
    fn what_is_no_entry_gives_the_same_error(
        commands in vec(command(), 1..4),
        rows in rows_entry(),
        at in any::<Index>(),
        cut in any::<bool>(),
        bit in 0_u32..8,
        borders in vec((border(), border()), 4),
    ) {
        for (mut entry, is_claims) in [(claims_entry(&commands), true), (rows, false)] {
            if entry.is_empty() {
                continue;
            }
            let at = at.index(entry.len());
            if cut {
                entry.truncate(at);
            } else {
                entry[at] ^= 1 << bit;
            }
            if is_claims {
                compare(Claims, &entry, &borders)?;
            } else {
                compare(KeyValues, &entry, &borders)?;
            }
        }
    }
}

/// Every family is met by a span of its own, alone: none is left out, and none comes with another.
#[test]
fn the_families_are_told_apart() {
    let mut claim = Assertion::new("s", "p", Object::Integer(1), "x");
    claim.author = Some(AgentId([1; 32]));
    claim.parents = vec![ClaimId([2; 32])];
    let commands = [
        Command::Assert(claim),
        Command::Vote(Vote::new(ClaimId([3; 32]), AgentId([4; 32]), Nano::ONE)),
        Command::Supersede(Supersession::retract(ClaimId([5; 32]))),
        Command::Epoch(Epoch::new("e")),
        Command::Source(Source::new("x", SourceClass::new(1).unwrap())),
        Command::Cosign(Cosign {
            claim: ClaimId([6; 32]),
            agent: AgentId([7; 32]),
            signature: SignatureBytes([8; 64]),
        }),
        Command::Agent(Agent::new(AgentId([9; 32]))),
    ];
    let entry = claims_entry(&commands);
    let mut all = 0;
    for family in Family::ALL {
        let (first, last) = ([family as u8], [family as u8, 0xff]);
        let rows = within(&Claims, &entry, &(&first[..]..=&last[..])).unwrap();
        assert!(!rows.is_empty(), "{family:?}");
        assert!(rows.iter().all(|(_, key, _)| Family::of(key) == Some(family)), "{family:?}");
        all += rows.len();
    }
    let (first, last) = (&[][..], &[0xff][..]);
    assert_eq!(within(&Claims, &entry, &(first..=last)).unwrap().len(), all);
}
