//! A claim as triples, and back.

use oxrdf::{Literal, NamedNode, NamedOrBlankNodeRef, Term, TermRef, TripleRef};
use stemedb_core::{
    Assertion, ClaimId, Lifecycle, Micros, Object, Signature, SignatureBytes, object::canonical_json,
};

use super::{
    names::{self, Scope},
    terms::{self, typed, xsd},
    vocabulary::{
        CONFIDENCE, EPOCH, EXCERPT_HASH, LIFECYCLE, OBSERVED_AT, PROV_AUTHOR, PROV_DERIVED, PROV_SOURCE,
        PROV_TIME, SIGNATURE, SOURCE_CLASS, VALID_FROM, VALID_TO,
    },
};
use crate::{
    errors::{Code, FieldError, Invalid},
    json::cells,
};

/// What a claim says about itself beside its triple, and whether that is about where it comes from or about its
/// publication.
pub(super) struct Said {
    pub predicate: &'static str,
    pub object: Term,
    pub published: bool,
}

/// Everything that a claim says beside its triple.
pub(super) fn about(claim: &Assertion, recorded_at: Micros) -> Vec<Said> {
    let mut said = Vec::new();
    let mut from = |predicate, object: Term| said.push(Said { predicate, object, published: false });
    let plain = |text: String| Term::from(Literal::new_simple_literal(text));
    from(PROV_SOURCE, names::name(&claim.source).into());
    for parent in &claim.parents {
        from(PROV_DERIVED, names::claim(parent).into());
    }
    if let Some(confidence) = claim.confidence {
        from(CONFIDENCE, Literal::new_typed_literal(confidence.to_string(), xsd("decimal")).into());
    }
    if let Some(class) = claim.source_class {
        from(SOURCE_CLASS, Literal::new_typed_literal(class.number().to_string(), xsd("integer")).into());
    }
    if let Some(hash) = claim.excerpt_hash {
        from(EXCERPT_HASH, plain(ClaimId(hash).to_string()));
    }
    if let Some(epoch) = &claim.epoch {
        from(EPOCH, plain(epoch.clone()));
    }
    if let Some(stage) = claim.lifecycle {
        from(LIFECYCLE, plain(stage.name().to_owned()));
    }
    let times =
        [(VALID_FROM, claim.valid_from), (VALID_TO, claim.valid_to), (OBSERVED_AT, claim.observed_at)];
    for (predicate, time) in times {
        if let Some(time) = time {
            from(predicate, terms::instant(time).into());
        }
    }
    let mut published = |predicate, object: Term| said.push(Said { predicate, object, published: true });
    if let Some(author) = &claim.author {
        published(PROV_AUTHOR, names::agent(author).into());
    }
    published(PROV_TIME, terms::instant(recorded_at).into());
    for signature in &claim.signatures {
        let text = format!("{}:{}", signature.agent, signature.bytes);
        published(SIGNATURE, typed(text, SIGNATURE).into());
    }
    said
}

/// Whether a predicate is one that a claim says about itself.
pub(super) fn is_about(predicate: &str) -> bool {
    matches!(
        predicate,
        PROV_SOURCE
            | PROV_DERIVED
            | PROV_AUTHOR
            | PROV_TIME
            | CONFIDENCE
            | SOURCE_CLASS
            | EXCERPT_HASH
            | EPOCH
            | LIFECYCLE
            | VALID_FROM
            | VALID_TO
            | OBSERVED_AT
            | SIGNATURE
    )
}

/// A claim of which some triples have been read.
#[derive(Debug)]
pub(super) struct Partial {
    /// The line of its first quad.
    pub line: u64,
    /// What it has cost to keep, in bytes.
    pub bytes: usize,
    claim: Assertion,
    has_triple: bool,
    has_source: bool,
    /// The first thing that was wrong.
    wrong: Option<Invalid>,
}

impl Partial {
    pub(super) fn new(line: u64) -> Partial {
        Partial {
            line,
            bytes: size_of::<Partial>(),
            claim: Assertion::new("", "", Object::Boolean(false), ""),
            has_triple: false,
            has_source: false,
            wrong: None,
        }
    }

    fn wrong(&mut self, error: impl Into<Invalid>) {
        if self.wrong.is_none() {
            self.wrong = Some(error.into());
        }
    }

    /// Takes what is claimed.
    pub(super) fn triple(&mut self, triple: TripleRef<'_>) {
        self.bytes += 128;
        match self.read_triple(triple) {
            Err(error) => self.wrong(error),
            Ok((subject, predicate, object)) => {
                self.bytes += subject.len() + predicate.len();
                let claim = &mut self.claim;
                let same =
                    (&claim.subject, &claim.predicate, &claim.object) == (&subject, &predicate, &object);
                if self.has_triple && !same {
                    let detail = "the graph of a claim holds more than one triple";
                    self.wrong(FieldError::in_body("", Code::DuplicateKey, detail));
                    return;
                }
                self.has_triple = true;
                (claim.subject, claim.predicate, claim.object) = (subject, predicate, object);
            }
        }
    }

    fn read_triple(&self, triple: TripleRef<'_>) -> Result<(String, String, Object), FieldError> {
        // A claim of ours has no blank nodes: nothing gives them a name here.
        let mut scope = Scope::default();
        let subject = match triple.subject {
            NamedOrBlankNodeRef::NamedNode(node) => names::name_of(node.as_str())?,
            NamedOrBlankNodeRef::BlankNode(node) => scope.name_of(node)?,
        };
        let predicate = names::name_of(triple.predicate.as_str())?;
        Ok((subject, predicate, terms::object(triple.object, &mut scope)?))
    }

    /// Takes something that the claim says about itself; see [`is_about`].
    pub(super) fn said(&mut self, predicate: &str, object: TermRef<'_>) {
        self.bytes += 256;
        if let Err((code, detail)) = self.read_said(predicate, object) {
            let pointer = predicate.rsplit(['#', '/']).next().unwrap_or_default().to_owned();
            self.wrong(FieldError::in_body(format!("/{pointer}"), code, detail));
        }
    }

    fn read_said(&mut self, predicate: &str, object: TermRef<'_>) -> Result<(), (Code, String)> {
        let claim = &mut self.claim;
        let iri = || match object {
            TermRef::NamedNode(node) => Ok(node.as_str()),
            _ => Err((Code::WrongType, "is not an IRI".to_owned())),
        };
        let text = || match object {
            TermRef::Literal(literal) => Ok(literal.value()),
            _ => Err((Code::WrongType, "is not a literal".to_owned())),
        };
        match predicate {
            PROV_SOURCE => {
                let source = names::name_of(iri()?).map_err(|error| (error.code, error.detail))?;
                self.bytes += source.len();
                if std::mem::replace(&mut self.has_source, true) && claim.source != source {
                    return Err(twice());
                }
                claim.source = source;
            }
            PROV_DERIVED => {
                let parent = names::claim_of(iri()?);
                claim.parents.push(parent.ok_or_else(|| (Code::NotHex, "is not a claim".to_owned()))?);
            }
            PROV_AUTHOR => {
                let author = names::agent_of(iri()?);
                let author = author.ok_or_else(|| (Code::NotHex, "is not an agent".to_owned()))?;
                once(&mut claim.author, author)?;
            }
            PROV_TIME => {
                cells::instant(text()?)?;
            }
            CONFIDENCE => once(&mut claim.confidence, cells::fraction(text()?)?)?,
            SOURCE_CLASS => once(&mut claim.source_class, cells::class(text()?)?)?,
            EXCERPT_HASH => once(&mut claim.excerpt_hash, cells::digest(text()?)?)?,
            EPOCH => {
                let epoch = text()?.to_owned();
                self.bytes += epoch.len();
                once(&mut claim.epoch, epoch)?;
            }
            LIFECYCLE => {
                let stage = cells::name(text()?, &Lifecycle::ALL.map(Lifecycle::name))?;
                once(&mut claim.lifecycle, stage)?;
            }
            VALID_FROM => once(&mut claim.valid_from, cells::instant(text()?)?)?,
            VALID_TO => once(&mut claim.valid_to, cells::instant(text()?)?)?,
            OBSERVED_AT => once(&mut claim.observed_at, cells::instant(text()?)?)?,
            _ => {
                let not = || (Code::NotHex, "is not agent:signature".to_owned());
                let (agent, bytes) = text()?.split_once(':').ok_or_else(not)?;
                let bytes: SignatureBytes = cells::hex(bytes)?;
                claim.signatures.push(Signature { agent: cells::hex(agent)?, bytes });
            }
        }
        Ok(())
    }

    /// The claim, if everything that its id covers has been read; otherwise what there is of it.
    pub(super) fn complete(self, id: &ClaimId) -> Result<Assertion, Box<Partial>> {
        if !self.has_triple || !self.has_source || self.wrong.is_some() {
            return Err(Box::new(self));
        }
        let mut claim = self.claim.clone();
        claim.normalize();
        if claim.id() == *id && claim.validate().is_ok() { Ok(claim) } else { Err(Box::new(self)) }
    }

    /// Whether something was wrong that no further quad can mend.
    pub(super) fn is_wrong(&self) -> bool {
        self.wrong.is_some()
    }

    /// What came late: signatures of a claim that was complete before, or only when it was recorded, which is not used.
    pub(super) fn only_signatures(&self) -> Option<&[Signature]> {
        let empty = Assertion {
            signatures: self.claim.signatures.clone(),
            ..Assertion::new("", "", Object::Boolean(false), "")
        };
        let only = !self.has_triple && !self.has_source && self.wrong.is_none() && self.claim == empty;
        only.then_some(&self.claim.signatures)
    }

    /// Why there is no claim.
    pub(super) fn refusal(mut self, id: &ClaimId) -> Invalid {
        if let Some(wrong) = self.wrong {
            return wrong;
        }
        let missing = match (self.has_triple, self.has_source) {
            (false, _) => Some("the graph with what is claimed is missing"),
            (true, false) => Some("prov:hadPrimarySource is missing"),
            (true, true) => None,
        };
        if let Some(missing) = missing {
            let detail = format!("of claim {id}, {missing}");
            return FieldError::in_body("", Code::IncompleteRecord, detail).into();
        }
        self.claim.normalize();
        if let Err(error) = self.claim.validate() {
            return error.into();
        }
        let detail = format!("what was read has the id {}, its IRI says {id}", self.claim.id());
        FieldError::in_body("/id", Code::IdMismatch, detail).into()
    }
}

fn once<T: PartialEq>(slot: &mut Option<T>, value: T) -> Result<(), (Code, String)> {
    match slot {
        Some(other) if *other != value => Err(twice()),
        _ => {
            *slot = Some(value);
            Ok(())
        }
    }
}

fn twice() -> (Code, String) {
    (Code::DuplicateKey, "is said twice".to_owned())
}

/// The record in a literal of `st:record`.
pub(super) fn record_of(object: TermRef<'_>) -> Result<stemedb_core::Command, Invalid> {
    match object {
        TermRef::Literal(literal) => crate::json::exported(literal.value().as_bytes()),
        _ => Err(FieldError::in_body("", Code::WrongType, "st:record is not a literal").into()),
    }
}

/// The literal of a record.
pub(super) fn record_literal(command: &stemedb_core::Command) -> Literal {
    let line = crate::json::RecordJson { command, id: None, recorded: None };
    let line = serde_json::to_string(&line).unwrap_or_default();
    typed(canonical_json(&line).unwrap_or(line), super::vocabulary::RDF_JSON)
}

/// What a record other than a claim is about.
pub(super) fn record_subject(command: &stemedb_core::Command) -> NamedNode {
    use stemedb_core::Command;
    match command {
        Command::Assert(claim) => names::claim(&claim.id()),
        Command::Vote(vote) => names::claim(&vote.assertion),
        Command::Supersede(change) => names::claim(&change.old),
        Command::Epoch(epoch) => names::name(&epoch.name),
        Command::Source(source) => names::name(&source.id),
        Command::Cosign(cosign) => names::claim(&cosign.claim),
        Command::Agent(agent) => names::agent(&agent.id),
    }
}
