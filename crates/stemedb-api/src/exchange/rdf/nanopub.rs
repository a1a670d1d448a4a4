//! Nanopublications: our claims as such, and those of others kept as they are.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    io::{self, Read, Write},
};

use oxrdf::{BlankNode, GraphName, GraphNameRef, NamedNode, NamedOrBlankNode, Quad, QuadRef, Term};
use oxttl::NQuadsParser;
use stemedb_core::{Assertion, ClaimId, Command, Micros, Object};
use stemedb_index::claims::Recorded;

use super::{
    claim::{Partial, about, is_about},
    names::{self, Scope},
    parse::{Parsed, Quads},
    read::node,
    terms,
    vocabulary::{
        DCT_CREATED, NANOPUBLICATION, NP_ASSERTION, NP_INFO, NP_NANOPUBLICATION, NP_PROVENANCE, PROV_TIME,
        RDF_TYPE,
    },
    write::{QuadOut, triple},
};
use crate::{
    database::LINE_MAX_BYTES,
    errors::{Code, FieldError, Invalid, Result},
    exchange::{Found, ReadOptions, ReadRecords, broken, export::WriteRecords},
};

/// Reads nanopublications, one after the other.
pub(in crate::exchange) struct Nanopublications<R> {
    quads: Quads<R>,
    /// The graphs of the one that is arriving, in the order they came.
    graphs: Vec<(String, Vec<Quad>)>,
    bytes: usize,
    /// The line of its first quad.
    line: u64,
    ready: VecDeque<(u64, Result<Command, Invalid>)>,
    ended: bool,
}

/// What a head says.
struct Head {
    graph: String,
    nanopub: String,
    assertion: String,
    provenance: String,
    info: String,
}

impl Head {
    fn names(&self) -> [&str; 4] {
        [&self.graph, &self.assertion, &self.provenance, &self.info]
    }
}

impl<R: Read> Nanopublications<R> {
    pub(in crate::exchange) fn new(input: R, _: &ReadOptions) -> Nanopublications<R> {
        Nanopublications {
            quads: Quads::trig(input),
            graphs: Vec::new(),
            bytes: 0,
            line: 0,
            ready: VecDeque::new(),
            ended: false,
        }
    }

    fn take(&mut self, line: u64, quad: Quad) -> Result<()> {
        let GraphName::NamedNode(graph) = &quad.graph_name else {
            let detail = "a quad of a nanopublication is in a graph with a name";
            let why = FieldError::in_body("", Code::IncompleteRecord, detail);
            self.ready.push_back((line, Err(why.into())));
            return Ok(());
        };
        let graph = graph.as_str().to_owned();
        if !self.graphs.iter().any(|(name, _)| *name == graph) {
            // A graph that the head does not name begins the next one.
            if self.head().is_some_and(|head| !head.names().contains(&graph.as_str())) {
                self.close();
            }
            self.graphs.push((graph.clone(), Vec::new()));
        }
        if self.bytes == 0 {
            self.line = line;
        }
        self.bytes += bytes_of(&quad);
        if self.bytes > LINE_MAX_BYTES {
            return Err(broken(line, Code::LineTooLong, "a nanopublication exceeds 1 MiB, or has no head"));
        }
        if let Some((_, quads)) = self.graphs.iter_mut().find(|(name, _)| *name == graph) {
            quads.push(quad);
        }
        Ok(())
    }

    /// The head of what has arrived.
    fn head(&self) -> Option<Head> {
        self.graphs.iter().find_map(|(graph, quads)| head_in(graph, quads))
    }

    /// Makes claims of what has arrived.
    fn close(&mut self) {
        if self.graphs.is_empty() {
            return;
        }
        let head = self.head();
        let graphs: BTreeMap<String, Vec<Quad>> = std::mem::take(&mut self.graphs).into_iter().collect();
        self.bytes = 0;
        let line = self.line;
        let made = match head {
            None => Err(incomplete("np:hasAssertion, np:hasProvenance and np:hasPublicationInfo")),
            Some(head) => match names::nanopub_of(&head.nanopub) {
                Some(id) => ours(&id, &head, &graphs, line).map(|claim| vec![claim]),
                None => foreign(&head, &graphs),
            },
        };
        match made {
            Ok(claims) => {
                self.ready.extend(claims.into_iter().map(|claim| (line, Ok(Command::Assert(claim)))));
            }
            Err(why) => self.ready.push_back((line, Err(why))),
        }
    }
}

/// The head that a graph is, if it is one.
fn head_in(graph: &str, quads: &[Quad]) -> Option<Head> {
    let said = |predicate: &str| {
        let quad = quads.iter().find(|quad| quad.predicate.as_str() == predicate)?;
        match (&quad.subject, &quad.object) {
            (NamedOrBlankNode::NamedNode(this), Term::NamedNode(graph)) => {
                Some((this.as_str(), graph.as_str()))
            }
            _ => None,
        }
    };
    let (nanopub, assertion) = said(NP_ASSERTION)?;
    let (same, provenance) = said(NP_PROVENANCE)?;
    let (too, info) = said(NP_INFO)?;
    (nanopub == same && same == too).then(|| Head {
        graph: graph.to_owned(),
        nanopub: nanopub.to_owned(),
        assertion: assertion.to_owned(),
        provenance: provenance.to_owned(),
        info: info.to_owned(),
    })
}

fn incomplete(what: &str) -> Invalid {
    let detail = format!("a nanopublication lacks {what}");
    FieldError::in_body("", Code::IncompleteRecord, detail).into()
}

/// About what a quad takes of memory.
fn bytes_of(quad: &Quad) -> usize {
    let node = |node: &NamedOrBlankNode| match node {
        NamedOrBlankNode::NamedNode(node) => node.as_str().len(),
        NamedOrBlankNode::BlankNode(node) => node.as_str().len(),
    };
    let object = match &quad.object {
        Term::NamedNode(node) => node.as_str().len(),
        Term::BlankNode(node) => node.as_str().len(),
        Term::Literal(literal) => literal.value().len() + literal.datatype().as_str().len(),
    };
    size_of::<Quad>() + node(&quad.subject) + quad.predicate.as_str().len() + object
}

/// The claim of a nanopublication that we made.
fn ours(
    id: &ClaimId,
    head: &Head,
    graphs: &BTreeMap<String, Vec<Quad>>,
    line: u64,
) -> Result<Assertion, Invalid> {
    let mut partial = Partial::new(line);
    for quad in graphs.get(&head.assertion).into_iter().flatten() {
        partial.triple(quad.as_ref().into());
    }
    for graph in [&head.provenance, &head.info] {
        for quad in graphs.get(graph).into_iter().flatten() {
            let about = match quad.subject.as_ref() {
                oxrdf::NamedOrBlankNodeRef::NamedNode(node) => node.as_str(),
                oxrdf::NamedOrBlankNodeRef::BlankNode(_) => "",
            };
            if is_about(quad.predicate.as_str()) && (about == head.assertion || about == head.nanopub) {
                partial.said(quad.predicate.as_str(), quad.object.as_ref());
            }
        }
    }
    partial.complete(id).map_err(|partial| partial.refusal(id))
}

/// The claims that a foreign nanopublication becomes: itself, and one for each triple of its assertion.
fn foreign(head: &Head, graphs: &BTreeMap<String, Vec<Quad>>) -> Result<Vec<Assertion>, Invalid> {
    for (name, what) in [
        (&head.assertion, "its assertion graph"),
        (&head.provenance, "its provenance graph"),
        (&head.info, "its publication info graph"),
    ] {
        if !graphs.contains_key(name) {
            return Err(incomplete(what));
        }
    }
    let nanopub = names::name_of(&head.nanopub)?;
    let mut labels = BTreeMap::new();
    let mut quads: Vec<Quad> =
        graphs.values().flatten().map(|quad| with_own_labels(quad.as_ref(), &mut labels)).collect();
    // The order of the canonical form, so that it does not matter how the document was written.
    quads.sort_by_cached_key(ToString::to_string);
    let whole = Assertion::new(&nanopub, NANOPUBLICATION, Object::Text(canonical_nquads(&quads)), &nanopub);
    whole.validate()?;
    let id = whole.id();
    let created = created(head, graphs);
    let mut claims = vec![whole];
    let mut scope = Scope::of_document(Some(nanopub.clone()));
    let mut said = BTreeSet::new();
    for quad in quads.iter().filter(|quad| quad.graph_name.as_ref() == assertion_graph(head)) {
        let subject = node(quad.subject.as_ref(), &mut scope)?;
        let predicate = names::name_of(quad.predicate.as_str())?;
        let object = terms::object(quad.object.as_ref(), &mut scope)?;
        let mut claim = Assertion::new(subject, predicate, object, &nanopub);
        claim.parents = vec![id];
        claim.observed_at = created;
        claim.validate()?;
        // A triple that is written twice is one triple.
        if said.insert(claim.id()) {
            claims.push(claim);
        }
    }
    Ok(claims)
}

fn assertion_graph(head: &Head) -> GraphNameRef<'_> {
    oxrdf::NamedNodeRef::new_unchecked(&head.assertion).into()
}

/// When a nanopublication says that it was made.
fn created(head: &Head, graphs: &BTreeMap<String, Vec<Quad>>) -> Option<Micros> {
    let info = graphs.get(&head.info)?;
    [DCT_CREATED, PROV_TIME].into_iter().find_map(|predicate| {
        info.iter().filter(|quad| quad.predicate.as_str() == predicate).find_map(|quad| {
            let about_this =
                matches!(&quad.subject, NamedOrBlankNode::NamedNode(this) if this.as_str() == head.nanopub);
            match &quad.object {
                Term::Literal(literal) if about_this => Micros::parse_rfc3339(literal.value()).ok(),
                _ => None,
            }
        })
    })
}

/// The quad with labels that are the same every time the file is read, where the parser invented them.
fn with_own_labels(quad: QuadRef<'_>, labels: &mut BTreeMap<u128, u64>) -> Quad {
    let mut own = |node: &BlankNode| match names::invented(node.as_str()) {
        None => node.clone(),
        Some(invented) => {
            let next = labels.len() as u64 + 1;
            names::labelled(*labels.entry(invented).or_insert(next))
        }
    };
    let mut quad = quad.into_owned();
    if let NamedOrBlankNode::BlankNode(node) = &quad.subject {
        quad.subject = own(node).into();
    }
    if let Term::BlankNode(node) = &quad.object {
        quad.object = own(node).into();
    }
    quad
}

/// Quads one a line, in the order of their bytes, each once.
pub(super) fn canonical_nquads(quads: &[Quad]) -> String {
    let lines: BTreeSet<String> = quads.iter().map(|quad| format!("{quad} .\n")).collect();
    lines.into_iter().collect()
}

impl<R: Read> ReadRecords for Nanopublications<R> {
    fn next_record(&mut self) -> Result<Option<Found>> {
        loop {
            if let Some((line, record)) = self.ready.pop_front() {
                return Ok(Some(Found { line, read: self.quads.line(), record: Some(record) }));
            }
            if self.ended {
                return Ok(None);
            }
            match self.quads.next_quad()? {
                Some(Parsed { line, quad: Ok(quad) }) => self.take(line, quad)?,
                Some(Parsed { line, quad: Err(why) }) => self.ready.push_back((line, Err(why))),
                None => {
                    self.ended = true;
                    self.close();
                }
            }
        }
    }

    fn lines_read(&self) -> u64 {
        self.quads.line()
    }
}

/// Writes claims as nanopublications.
pub(in crate::exchange) struct NanopublicationsOut<W: Write> {
    out: QuadOut<W>,
    /// Claims that are written already, inside of a foreign nanopublication.
    contained: BTreeSet<ClaimId>,
}

impl<W: Write> NanopublicationsOut<W> {
    pub(in crate::exchange) fn new(out: W) -> NanopublicationsOut<W> {
        NanopublicationsOut { out: QuadOut::trig(out), contained: BTreeSet::new() }
    }

    fn claim(&mut self, id: &ClaimId, claim: &Assertion, recorded_at: Micros) -> io::Result<()> {
        let nanopub = names::nanopub(id);
        let this = NamedNode::new_unchecked(&nanopub);
        let part = |name: &str| NamedNode::new_unchecked(format!("{nanopub}#{name}"));
        let [head, assertion, provenance, info] = ["Head", "assertion", "provenance", "pubinfo"].map(part);
        let heading = [
            (RDF_TYPE, NamedNode::new_unchecked(NP_NANOPUBLICATION)),
            (NP_ASSERTION, assertion.clone()),
            (NP_PROVENANCE, provenance.clone()),
            (NP_INFO, info.clone()),
        ];
        for (predicate, object) in heading {
            let predicate = NamedNode::new_unchecked(predicate);
            self.out.quad(&Quad::new(this.clone(), predicate, object, head.clone()))?;
        }
        self.out.quad(&triple(claim, assertion.clone().into()))?;
        let (published, from): (Vec<_>, Vec<_>) =
            about(claim, recorded_at).into_iter().partition(|said| said.published);
        for said in from {
            let predicate = NamedNode::new_unchecked(said.predicate);
            self.out.quad(&Quad::new(assertion.clone(), predicate, said.object, provenance.clone()))?;
        }
        for said in published {
            let predicate = NamedNode::new_unchecked(said.predicate);
            self.out.quad(&Quad::new(this.clone(), predicate, said.object, info.clone()))?;
        }
        let created = NamedNode::new_unchecked(DCT_CREATED);
        self.out.quad(&Quad::new(this, created, terms::instant(recorded_at), info))
    }
}

/// The quads that a claim keeps whole, and the claims that are made of them; `None` if it is not such a claim. Anyone can
/// claim anything, so this holds only where reading the quads would make exactly this claim.
fn kept(claim: &Assertion, id: &ClaimId) -> Option<(Vec<Quad>, Vec<ClaimId>)> {
    let Object::Text(text) = &claim.object else { return None };
    if claim.predicate != NANOPUBLICATION || !claim.signatures.is_empty() {
        return None;
    }
    let quads = NQuadsParser::new().for_slice(text).collect::<Result<Vec<Quad>, _>>().ok()?;
    let mut graphs: BTreeMap<String, Vec<Quad>> = BTreeMap::new();
    for quad in &quads {
        let GraphName::NamedNode(graph) = &quad.graph_name else { return None };
        graphs.entry(graph.as_str().to_owned()).or_default().push(quad.clone());
    }
    let head = graphs.iter().find_map(|(graph, quads)| head_in(graph, quads))?;
    let made = foreign(&head, &graphs).ok()?;
    let mut ids = made.iter().map(Assertion::id);
    (ids.next() == Some(*id)).then(|| (quads, ids.collect()))
}

impl<W: Write> WriteRecords for NanopublicationsOut<W> {
    fn record(&mut self, recorded: &Recorded) -> io::Result<bool> {
        let (Command::Assert(claim), Some(id)) = (&recorded.command, &recorded.id) else {
            return Ok(false);
        };
        if let Some((mut quads, made)) = kept(claim, id) {
            self.contained.extend(made);
            // By graphs, the head first: the order of the lines mixes them.
            quads.sort_by_key(|quad| quad.graph_name.to_string());
            for quad in &quads {
                self.out.quad(quad)?;
            }
            return Ok(true);
        }
        if claim.signatures.is_empty() && self.contained.contains(id) {
            return Ok(true);
        }
        self.claim(id, claim, Micros(recorded.recorded_at.0))?;
        Ok(true)
    }

    fn finish(&mut self) -> io::Result<()> {
        self.out.finish()
    }
}
