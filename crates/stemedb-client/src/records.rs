//! What is recorded: the bodies of requests, which are also what listings and feeds tell.

use serde::{Deserialize, Serialize};

use crate::{
    names::{Lifecycle, SupersessionKind},
    value::Value,
};

/// An agent's signature.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Signature {
    /// Whose: 64 hexadecimal digits, an Ed25519 public key.
    pub agent: String,
    /// 128 hexadecimal digits.
    pub signature: String,
}

/// A claim: what one source says about one subject. What is not said is not part of its id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Assertion {
    /// What it is about; 1 to 512 bytes.
    pub subject: String,
    /// Which of its properties; 1 to 512 bytes.
    pub predicate: String,
    /// What is claimed.
    pub object: Value,
    /// Who says it: the id of a source.
    pub source: String,
    /// 0 to 1, to nine digits behind the point.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub confidence: Option<f64>,
    /// 0 (regulatory) to 5 (anecdotal); unless said, what is recorded about the source.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub source_class: Option<u8>,
    /// The agent who claims it: 64 hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub author: Option<String>,
    /// Of what was read: 64 hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub excerpt_hash: Option<String>,
    /// The epoch that it belongs to.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub epoch: Option<String>,
    /// The stage of its life.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub lifecycle: Option<Lifecycle>,
    /// From when on it holds (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub valid_from: Option<String>,
    /// Until when it holds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub valid_to: Option<String>,
    /// When it was observed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub observed_at: Option<String>,
    /// The claims that it derives from.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub parents: Vec<String>,
    /// Signatures on its id.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub signatures: Vec<Signature>,
}

impl Assertion {
    /// A claim that says only what it must.
    pub fn new(
        subject: impl Into<String>,
        predicate: impl Into<String>,
        object: impl Into<Value>,
        source: impl Into<String>,
    ) -> Assertion {
        Assertion {
            subject: subject.into(),
            predicate: predicate.into(),
            object: object.into(),
            source: source.into(),
            confidence: None,
            source_class: None,
            author: None,
            excerpt_hash: None,
            epoch: None,
            lifecycle: None,
            valid_from: None,
            valid_to: None,
            observed_at: None,
            parents: Vec::new(),
            signatures: Vec::new(),
        }
    }
}

/// An agent's weight for or against a claim. A new one takes the place of that agent's old one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Vote {
    /// The claim.
    pub assertion: String,
    /// Who votes; may be absent where the API key is bound to an agent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub agent: Option<String>,
    /// -1 to 1.
    pub weight: f64,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// The agent's signature: 128 hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub signature: Option<String>,
}

impl Vote {
    /// An unsigned vote.
    pub fn new(assertion: impl Into<String>, agent: impl Into<String>, weight: f64) -> Vote {
        Vote { assertion: assertion.into(), agent: Some(agent.into()), weight, reason: None, signature: None }
    }
}

/// Sets a claim aside, with a successor or without. Nothing is removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Supersession {
    /// The claim that is set aside.
    pub old: String,
    /// What takes its place; none for a retraction.
    #[serde(default)]
    pub new: Option<String>,
    /// What it does.
    pub kind: SupersessionKind,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// Who does it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub agent: Option<String>,
    /// The agent's signature: 128 hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub signature: Option<String>,
}

impl Supersession {
    /// A claim takes the place of another.
    pub fn replace(old: impl Into<String>, new: impl Into<String>, kind: SupersessionKind) -> Supersession {
        let (old, new) = (old.into(), Some(new.into()));
        Supersession { old, new, kind, reason: None, agent: None, signature: None }
    }

    /// A claim is withdrawn.
    pub fn retract(old: impl Into<String>) -> Supersession {
        let kind = SupersessionKind::Retracts;
        Supersession { old: old.into(), new: None, kind, reason: None, agent: None, signature: None }
    }
}

/// A span of time with a name: an edition, a release.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Epoch {
    /// Its name.
    pub name: String,
    /// The epoch whose place it takes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub supersedes: Option<String>,
    /// Its beginning (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub from: Option<String>,
    /// Its end.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub to: Option<String>,
}

impl Epoch {
    /// An epoch without bounds.
    pub fn new(name: impl Into<String>) -> Epoch {
        Epoch { name: name.into(), ..Epoch::default() }
    }
}

/// What is known about a source.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Source {
    /// Its id, as claims name it.
    pub id: String,
    /// 0 (regulatory) to 5 (anecdotal).
    pub class: u8,
    /// Its title.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub title: Option<String>,
    /// Where it is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub uri: Option<String>,
    /// Of its content: 64 hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub content_hash: Option<String>,
}

impl Source {
    /// A source of a class.
    pub fn new(id: impl Into<String>, class: u8) -> Source {
        Source { id: id.into(), class, ..Source::default() }
    }
}

/// What is known about an agent. The newest record counts as a whole.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
pub struct Agent {
    /// An Ed25519 public key: 64 hexadecimal digits.
    pub id: String,
    /// A name.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub name: Option<String>,
    /// 0 to 5.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub class: Option<u8>,
    /// 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub trust: Option<f64>,
}

impl Agent {
    /// An agent about whom nothing is said yet.
    pub fn new(id: impl Into<String>) -> Agent {
        Agent { id: id.into(), ..Agent::default() }
    }
}

/// Another agent signs a claim that is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cosignature {
    /// The claim.
    pub claim: String,
    /// Who signs.
    pub agent: String,
    /// 128 hexadecimal digits.
    pub signature: String,
}

/// A record of any kind, as a line of an import has it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "record", rename_all = "lowercase")]
#[non_exhaustive]
pub enum Record {
    /// A claim.
    Claim(Assertion),
    /// A vote.
    Vote(Vote),
    /// A supersession.
    Supersession(Supersession),
    /// An epoch.
    Epoch(Epoch),
    /// A source.
    Source(Source),
    /// An agent.
    Agent(Agent),
    /// A co-signature.
    Cosignature(Cosignature),
}

macro_rules! record_of {
    ($($kind:ident = $variant:ident,)+) => {
        $(impl From<$kind> for Record {
            fn from(record: $kind) -> Record {
                Record::$variant(record)
            }
        })+
    };
}

record_of! {
    Assertion = Claim,
    Vote = Vote,
    Supersession = Supersession,
    Epoch = Epoch,
    Source = Source,
    Agent = Agent,
    Cosignature = Cosignature,
}
