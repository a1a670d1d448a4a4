//! One question, answered: candidates, what is set aside, support, decay, and the six lenses.

use crate::near::is_near;
use crate::{Answer, Claim, Key, Question, Supersession, Value, World};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// The lenses, by the names that [`World::ask`] takes.
pub const LENSES: [&str; 6] = ["recency", "consensus", "confidence", "authority", "skeptic", "layered"];

const ONE: i64 = 1_000_000_000;
/// By class 0..=5; class 0 does not age.
const HALF_LIFE_DAYS: [Option<i64>; 6] = [None, Some(730), Some(365), Some(180), Some(90), Some(30)];
const DAY_US: i64 = 86_400_000_000;

/// Who stands behind a claim. Agents and sources are different name spaces.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Voice<'w> {
    Agent(&'w str),
    Source(&'w str),
}

/// A claim with all that is known of it at the position asked for.
struct Candidate<'w> {
    claim: &'w Claim,
    key: Key,
    class: u8,
    voices: BTreeSet<Voice<'w>>,
    votes_nano: i64,
    /// N(c): (time, lsn, ordinal); greater is newer.
    newness: (i64, u64, u32),
    /// Said confidence, aged if the question asks for decay.
    decayed_nano: i64,
    /// The least trust in an author of the claim or of what it derives from.
    trust_nano: i64,
}

/// The claims of one value, newest first.
struct Group<'c, 'w> {
    /// As the value is listed.
    shown: &'c Value,
    support_nano: i64,
    claims: Vec<&'c Candidate<'w>>,
}

impl World {
    /// Answers (subject, predicate) through `lens` as the world was at LSN `as_of`, for the instant `evaluated_at_us`.
    ///
    /// # Panics
    /// If the lens is not one of [`LENSES`].
    #[allow(clippy::too_many_arguments)]
    pub fn ask(
        &self,
        subject: &str,
        predicate: &str,
        lens: &str,
        as_of: u64,
        evaluated_at_us: i64,
        decay: bool,
        epoch: Option<&str>,
    ) -> Answer {
        self.answer(&Question {
            subject: subject.into(),
            predicate: predicate.into(),
            lens: lens.into(),
            as_of,
            evaluated_at_us,
            decay,
            epoch: epoch.map(str::to_string),
            ..Question::default()
        })
    }

    /// Answers a question.
    ///
    /// # Panics
    /// If the lens is not one of [`LENSES`], or the tolerance not a number or a percentage.
    pub fn answer(&self, question: &Question) -> Answer {
        // Candidates: all claims with lsn <= L, in journal order; those set aside are named with the reason.
        let as_of = question.as_of;
        let lens = question.lens.as_str();
        let claims = self.claims_about(&question.subject, &question.predicate, as_of);
        let mut considered = Vec::new();
        let mut set_aside = Vec::new();
        let mut tainted = Vec::new();
        for claim in claims.iter().copied() {
            if let Some(ancestor) = self.lineage(claim, as_of).tainted {
                tainted.push((claim.id.clone(), ancestor));
            }
            match self.why_set_aside(claim, &claims, question) {
                Some(reason) => set_aside.push((claim.id.clone(), reason.to_string())),
                None => considered.push(self.candidate(claim, question)),
            }
        }

        // Support: values by support, then newest claim, then its id. With a tolerance the near ones become one.
        let mut shown: BTreeMap<Key, Value> = BTreeMap::new();
        if let Some(tolerance) = &question.tolerance {
            shown = anchored(&mut considered, tolerance);
        }
        let groups = group_by_value(considered.iter(), &shown);
        let shares = shares(&groups);
        let total: i64 = groups.iter().map(|group| group.support_nano).sum();
        let status = match groups.first() {
            None => "unknown",
            Some(_) if groups.len() == 1 => "unanimous",
            Some(top) if total > 0 && 10 * top.support_nano >= 8 * total => "agreed",
            Some(_) => "contested",
        };
        let conflict_score = conflict(&shares);
        let margin = shares.first().unwrap_or(&0.0) - shares.get(1).unwrap_or(&0.0);

        // Layers: the same arithmetic inside each class, then one voice per class.
        let classes: BTreeSet<u8> = considered.iter().map(|c| c.class).collect();
        let mut layers = Vec::new();
        let mut class_voices: BTreeMap<&Key, i64> = BTreeMap::new();
        let mut best_layer = None;
        for &class in &classes {
            let inside = group_by_value(considered.iter().filter(|c| c.class == class), &shown);
            let inside_shares = self::shares(&inside);
            let winner = inside[0].claims[0];
            let (share, conflict) = (round9(inside_shares[0]), conflict(&inside_shares));
            layers.push((class, winner.claim.object.clone(), share, conflict));
            *class_voices.entry(&winner.key).or_default() += 1;
            best_layer = best_layer.or(Some((winner, share)));
        }
        let class_shares: Vec<f64> =
            class_voices.values().map(|&n| n as f64 / classes.len() as f64).collect();

        // The lens: one claim decides, and says how sure the answer is.
        let support: BTreeMap<&Key, i64> =
            groups.iter().map(|g| (&g.claims[0].key, g.support_nano)).collect();
        let tie = |c: &Candidate| (support.get(&c.key).copied(), c.newness, Reverse(c.claim.id.clone()));
        let all = || considered.iter();
        let decided: Option<(&Candidate, f64)> = match lens {
            "recency" => all().max_by_key(|c| (c.newness, tie(c))).map(|c| (c, float(c.decayed_nano))),
            "consensus" => groups.first().and_then(|group| {
                let spelled = group.claims.iter().find(|c| c.claim.object == *group.shown);
                spelled.map(|c| (*c, round9(shares[0])))
            }),
            "confidence" => {
                all().max_by_key(|c| (c.decayed_nano, tie(c))).map(|c| (c, float(c.decayed_nano)))
            }
            "authority" => {
                let best = all().filter(|c| Some(&c.class) == classes.first());
                best.max_by_key(|c| (trusted_nano(c), tie(c))).map(|c| (c, float(trusted_nano(c))))
            }
            "skeptic" => None,
            "layered" => best_layer,
            _ => panic!("unknown lens {lens:?}; the lenses are {LENSES:?}"),
        };

        // Winners: the deciding claim, then the other claims of its value, newest first.
        let within_class = matches!(lens, "authority" | "layered");
        let mut winners = Vec::new();
        if let Some((deciding, _)) = decided {
            winners.push(deciding.claim.id.clone());
            for c in groups.iter().flat_map(|group| &group.claims).filter(|c| c.key == deciding.key) {
                if c.claim.id != deciding.claim.id && (!within_class || c.class == deciding.class) {
                    winners.push(c.claim.id.clone());
                }
            }
        }

        let listed = |(group, share): (&Group, f64)| (group.shown.clone(), group.support_nano, round9(share));
        Answer {
            value: decided.map(|(deciding, _)| deciding.claim.object.clone()),
            winners,
            confidence: decided.map_or(0.0, |(_, confidence)| confidence),
            margin: round9(margin),
            conflict_score,
            status: status.to_string(),
            values: groups.iter().zip(shares).map(listed).collect(),
            considered: considered.len(),
            set_aside,
            layers,
            tainted,
            cross_class_conflict: conflict(&class_shares),
        }
    }

    /// The first reason that keeps a claim out, if any.
    fn why_set_aside(&self, claim: &Claim, all: &[&Claim], question: &Question) -> Option<&'static str> {
        let supersessions = self.supersessions.get(&claim.id).into_iter().flatten();
        let retired: Vec<&Supersession> = supersessions.filter(|s| s.lsn <= question.as_of).collect();
        let mut epochs = self.epochs.iter().filter(|e| e.lsn <= question.as_of);
        let out_of_epoch = claim.epoch.is_some()
            && match &question.epoch {
                Some(asked) => claim.epoch.as_ref() != Some(asked),
                None => epochs.any(|e| e.supersedes == claim.epoch),
            };
        let excluded = question.without_sources.contains(&claim.source)
            || claim.author.iter().any(|author| question.without_agents.contains(author))
            || question.max_class.is_some_and(|max| self.class(claim, question.as_of) > max);
        let reasons = [
            ("retracted", retired.iter().any(|s| s.new.is_none())),
            ("superseded", retired.iter().any(|s| s.new.is_some())),
            ("restaged", all.iter().any(|other| restages(other, claim))),
            ("rejected", claim.lifecycle.as_deref() == Some("rejected")),
            ("out_of_epoch", out_of_epoch),
            ("not_yet_valid", claim.valid_from_us.is_some_and(|from| from > question.evaluated_at_us)),
            ("no_longer_valid", claim.valid_to_us.is_some_and(|to| to <= question.evaluated_at_us)),
            ("excluded", excluded),
        ];
        reasons.into_iter().find(|(_, applies)| *applies).map(|(reason, _)| reason)
    }

    /// The class: as said, else that of the newest source record, else 5.
    fn class(&self, claim: &Claim, as_of: u64) -> u8 {
        let registered = self.sources.get(&claim.source).into_iter().flatten();
        let newest = registered.filter(|s| s.lsn <= as_of).max_by_key(|s| (s.lsn, s.ordinal));
        claim.source_class.or(newest.map(|s| s.class)).unwrap_or(5)
    }

    /// Looks up all that the lists say of a claim at the moment asked about.
    fn candidate<'w>(&'w self, claim: &'w Claim, question: &Question) -> Candidate<'w> {
        let class = self.class(claim, question.as_of);
        let counts = |agent: &&String| !question.without_agents.contains(*agent);

        // Voices: author, signers and cosigners; the source speaks when nobody else does.
        let cosigns = self.cosigns.get(&claim.id).into_iter().flatten();
        let cosigners = cosigns.filter(|c| c.lsn <= question.as_of).map(|c| &c.agent);
        let agents = claim.author.iter().chain(&claim.signers).chain(cosigners);
        let mut voices: BTreeSet<Voice> = agents.filter(counts).map(|agent| Voice::Agent(agent)).collect();
        if voices.is_empty() {
            voices.insert(Voice::Source(&claim.source));
        }

        // Votes: of each agent only the newest lives.
        let cast = self.votes_on(&claim.id, question.as_of);
        let mut in_order: Vec<_> = cast.filter(|v| counts(&&v.agent)).collect();
        in_order.sort_by_key(|v| (v.lsn, v.ordinal));
        let live: BTreeMap<&str, i64> = in_order.iter().map(|v| (v.agent.as_str(), v.weight_nano)).collect();

        let time_us = claim.observed_at_us.unwrap_or(claim.recorded_at_us);
        let confidence_nano = claim.confidence_nano.unwrap_or(ONE);
        let age_us = (i128::from(question.evaluated_at_us) - i128::from(time_us)).max(0);
        let decayed_nano = match HALF_LIFE_DAYS[usize::from(class)] {
            Some(days) if question.decay => {
                let half_lives = age_us as f64 / (days * DAY_US) as f64;
                (confidence_nano as f64 * (-half_lives).exp2()).round() as i64
            }
            _ => confidence_nano,
        };

        Candidate {
            claim,
            key: claim.object.key(),
            class,
            voices,
            votes_nano: live.values().sum(),
            newness: (time_us, claim.lsn, claim.ordinal),
            decayed_nano,
            trust_nano: self.lineage(claim, question.as_of).trust_nano,
        }
    }
}

/// Whether one claim is a newer stage of the same statement as another: equal but for lifecycle, observation and signatures,
/// and stating a lifecycle.
fn restages(newer: &Claim, older: &Claim) -> bool {
    let newness = |c: &Claim| (c.observed_at_us.unwrap_or(c.recorded_at_us), c.lsn, c.ordinal);
    if newer.lifecycle.is_none() || newness(newer) <= newness(older) {
        return false;
    }
    // Everything that may differ is made equal; where a claim stands in the journal is not part of it.
    let same = Claim {
        id: older.id.clone(),
        lsn: older.lsn,
        ordinal: older.ordinal,
        recorded_at_us: older.recorded_at_us,
        lifecycle: older.lifecycle.clone(),
        observed_at_us: older.observed_at_us,
        signers: older.signers.clone(),
        ..newer.clone()
    };
    same == *older
}

/// Goes through the values as they are listed: a number that nobody has taken yet is an anchor, and takes those that are near
/// it. What was taken gets the anchor's key. Returns how each value is spelled: as the newest claim of its anchor spells it.
fn anchored(considered: &mut [Candidate], tolerance: &str) -> BTreeMap<Key, Value> {
    let as_spelled = BTreeMap::new();
    let groups = group_by_value(considered.iter(), &as_spelled);
    let listed: Vec<(Key, Value)> =
        groups.iter().map(|g| (g.claims[0].key.clone(), g.shown.clone())).collect();
    let number = |value: &Value| match value {
        Value::Number(text) | Value::Integer(text) => Some(text.clone()),
        _ => None,
    };
    let mut anchor_of: BTreeMap<&Key, &Key> = BTreeMap::new();
    for (key, value) in &listed {
        let Some(anchor) = number(value) else { continue };
        if anchor_of.contains_key(key) {
            continue;
        }
        for (other, value) in &listed {
            let near = number(value).is_some_and(|x| is_near(&anchor, &x, tolerance));
            if near && !anchor_of.contains_key(other) {
                anchor_of.insert(other, key);
            }
        }
    }
    for candidate in considered {
        if let Some(anchor) = anchor_of.get(&candidate.key) {
            candidate.key = (*anchor).clone();
        }
    }
    listed.into_iter().collect()
}

/// Groups by value; groups by support, then newest claim, then its smaller id; claims newest first.
/// A value is listed as `shown` spells it, else as its newest claim does.
fn group_by_value<'c, 'w>(
    considered: impl Iterator<Item = &'c Candidate<'w>>,
    shown: &'c BTreeMap<Key, Value>,
) -> Vec<Group<'c, 'w>> {
    let mut by_key: BTreeMap<&Key, Vec<&Candidate>> = BTreeMap::new();
    for candidate in considered {
        by_key.entry(&candidate.key).or_default().push(candidate);
    }
    let mut groups = Vec::new();
    for (key, mut claims) in by_key {
        claims.sort_by_key(|c| (Reverse(c.newness), &c.claim.id));
        let voices: BTreeSet<&Voice> = claims.iter().flat_map(|c| &c.voices).collect();
        let votes_nano: i64 = claims.iter().map(|c| c.votes_nano).sum();
        let support_nano = (ONE * voices.len() as i64 + votes_nano).max(0);
        let shown = shown.get(key).unwrap_or(&claims[0].claim.object);
        groups.push(Group { shown, support_nano, claims });
    }
    groups.sort_by_key(|group| {
        (Reverse(group.support_nano), Reverse(group.claims[0].newness), &group.claims[0].claim.id)
    });
    groups
}

/// Each value's part of all support; all zero when there is none.
fn shares(groups: &[Group]) -> Vec<f64> {
    let total: i64 = groups.iter().map(|group| group.support_nano).sum();
    let share = |group: &Group| if total == 0 { 0.0 } else { group.support_nano as f64 / total as f64 };
    groups.iter().map(share).collect()
}

/// H(shares) / ln k for k > 1 values, else 0, with 0 ln 0 = 0.
fn conflict(shares: &[f64]) -> f64 {
    if shares.len() < 2 {
        return 0.0;
    }
    let entropy: f64 = shares.iter().filter(|&&share| share > 0.0).map(|share| -share * share.ln()).sum();
    round9(entropy / (shares.len() as f64).ln())
}

/// floor(trust × decayed confidence).
fn trusted_nano(candidate: &Candidate) -> i64 {
    candidate.trust_nano * candidate.decayed_nano / ONE
}

fn float(nano: i64) -> f64 {
    nano as f64 / ONE as f64
}

/// Rounded to 1e-9 (and never -0).
fn round9(x: f64) -> f64 {
    (x * 1e9).round() / 1e9 + 0.0
}
