//! Quads into claims.

use std::{
    collections::{BTreeMap, VecDeque},
    io::Read,
};

use oxrdf::{GraphNameRef, NamedOrBlankNodeRef, QuadRef};
use stemedb_core::{Assertion, ClaimId, Command, Cosign};

use super::{
    claim::{Partial, is_about, record_of},
    names::{self, Scope},
    parse::{Parsed, Quads},
    terms,
    vocabulary::RECORD,
};
use crate::{
    errors::{Code, FieldError, Invalid, Result},
    exchange::{Format, Found, ReadOptions, ReadRecords, broken},
};

/// Unfinished claims that are kept, in bytes.
const UNFINISHED_MAX_BYTES: usize = 64 << 20;

/// Reads quads of N-Quads or TriG.
pub(in crate::exchange) struct Statements<R> {
    quads: Quads<R>,
    default_source: Option<String>,
    scope: Scope,
    /// The claim whose quads are arriving.
    current: Option<(ClaimId, Partial)>,
    /// Claims whose quads stopped arriving before they were complete.
    unfinished: BTreeMap<ClaimId, Partial>,
    unfinished_bytes: usize,
    ready: VecDeque<(u64, Result<Command, Invalid>)>,
    ended: bool,
}

impl<R: Read> Statements<R> {
    pub(in crate::exchange) fn new(input: R, options: &ReadOptions) -> Statements<R> {
        let scope = options.blank_scope.clone();
        let (quads, scope) = match options.format {
            Format::NQuads => (Quads::nquads(input), Scope::of_lines(scope)),
            _ => (Quads::trig(input), Scope::of_document(scope)),
        };
        Statements {
            quads,
            default_source: options.default_source.clone(),
            scope,
            current: None,
            unfinished: BTreeMap::new(),
            unfinished_bytes: 0,
            ready: VecDeque::new(),
            ended: false,
        }
    }

    fn take(&mut self, line: u64, quad: QuadRef<'_>) -> Result<()> {
        match (quad.graph_name, quad.subject) {
            (GraphNameRef::NamedNode(graph), _) if names::claim_of(graph.as_str()).is_some() => {
                let id = names::claim_of(graph.as_str()).unwrap_or(ClaimId([0; 32]));
                self.of_claim(id, line)?.triple(quad.into());
            }
            (GraphNameRef::DefaultGraph, NamedOrBlankNodeRef::NamedNode(subject))
                if is_about(quad.predicate.as_str()) && names::claim_of(subject.as_str()).is_some() =>
            {
                let id = names::claim_of(subject.as_str()).unwrap_or(ClaimId([0; 32]));
                self.of_claim(id, line)?.said(quad.predicate.as_str(), quad.object);
            }
            (GraphNameRef::DefaultGraph, _) if quad.predicate.as_str() == RECORD => {
                // The record may be about the claim before it.
                self.close()?;
                self.ready.push_back((line, record_of(quad.object)));
            }
            _ => {
                let claim = self.foreign(quad).map(Command::Assert);
                self.ready.push_back((line, claim));
            }
        }
        Ok(())
    }

    /// The claim that a quad belongs to.
    fn of_claim(&mut self, id: ClaimId, line: u64) -> Result<&mut Partial> {
        if self.current.as_ref().is_none_or(|(current, _)| *current != id) {
            self.close()?;
            let known = self.unfinished.remove(&id);
            self.unfinished_bytes -= known.as_ref().map_or(0, |partial| partial.bytes);
            self.current = Some((id, known.unwrap_or_else(|| Partial::new(line))));
        }
        let partial = self.current.get_or_insert_with(|| (id, Partial::new(line)));
        Ok(&mut partial.1)
    }

    /// Gives out the claim whose quads were arriving, if it is complete.
    fn close(&mut self) -> Result<()> {
        let Some((id, partial)) = self.current.take() else { return Ok(()) };
        let line = partial.line;
        match partial.complete(&id) {
            Ok(claim) => self.ready.push_back((line, Ok(Command::Assert(claim)))),
            Err(partial) if partial.is_wrong() => self.ready.push_back((line, Err(partial.refusal(&id)))),
            Err(partial) => {
                self.unfinished_bytes += partial.bytes;
                self.unfinished.insert(id, *partial);
                if self.unfinished_bytes > UNFINISHED_MAX_BYTES {
                    let detail = "the quads of too many claims are mixed: more than 64 MiB are unfinished";
                    return Err(broken(self.quads.line(), Code::TooMany, detail));
                }
            }
        }
        Ok(())
    }

    /// At the end nothing can become complete any more.
    fn end(&mut self) -> Result<()> {
        self.close()?;
        let mut rest: Vec<(ClaimId, Partial)> = std::mem::take(&mut self.unfinished).into_iter().collect();
        rest.sort_by_key(|(_, partial)| partial.line);
        for (id, partial) in rest {
            let line = partial.line;
            match partial.only_signatures() {
                Some(signatures) => {
                    for signature in signatures {
                        let (agent, signature) = (signature.agent, signature.bytes);
                        let late = Cosign { claim: id, agent, signature };
                        self.ready.push_back((line, Ok(Command::Cosign(late))));
                    }
                }
                None => self.ready.push_back((line, Err(partial.refusal(&id)))),
            }
        }
        Ok(())
    }

    /// A quad that is none of ours, as a claim of its graph.
    fn foreign(&mut self, quad: QuadRef<'_>) -> Result<Assertion, Invalid> {
        let subject = node(quad.subject, &mut self.scope)?;
        let predicate = names::name_of(quad.predicate.as_str())?;
        let object = terms::object(quad.object, &mut self.scope)?;
        let source = match quad.graph_name {
            GraphNameRef::NamedNode(graph) => names::name_of(graph.as_str())?,
            GraphNameRef::BlankNode(graph) => self.scope.name_of(graph)?,
            GraphNameRef::DefaultGraph => match &self.default_source {
                Some(source) => source.clone(),
                None => {
                    let detail = "a quad of the default graph needs a source (--source NAME, source=NAME)";
                    return Err(FieldError::in_body("/source", Code::MissingField, detail).into());
                }
            },
        };
        let claim = Assertion::new(subject, predicate, object, source);
        claim.validate()?;
        Ok(claim)
    }
}

/// The name of a subject.
pub(super) fn node(node: NamedOrBlankNodeRef<'_>, scope: &mut Scope) -> Result<String, FieldError> {
    match node {
        NamedOrBlankNodeRef::NamedNode(node) => names::name_of(node.as_str()),
        NamedOrBlankNodeRef::BlankNode(node) => scope.name_of(node),
    }
}

impl<R: Read> ReadRecords for Statements<R> {
    fn lines_read(&self) -> u64 {
        self.quads.line()
    }

    fn next_record(&mut self) -> Result<Option<Found>> {
        loop {
            if let Some((line, record)) = self.ready.pop_front() {
                return Ok(Some(Found { line, read: self.quads.line(), record: Some(record) }));
            }
            if self.ended {
                return Ok(None);
            }
            match self.quads.next_quad()? {
                Some(Parsed { line, quad: Ok(quad) }) => self.take(line, quad.as_ref())?,
                Some(Parsed { line, quad: Err(why) }) => self.ready.push_back((line, Err(why))),
                None => {
                    self.ended = true;
                    self.end()?;
                }
            }
        }
    }
}
