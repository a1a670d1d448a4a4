//! Claims into quads.

use std::io::{self, Write};

use oxrdf::{GraphName, NamedNode, Quad};
use oxttl::{TriGSerializer, trig::WriterTriGSerializer};
use stemedb_core::{Assertion, ClaimId, Command, Micros};
use stemedb_index::claims::Recorded;

use super::{
    claim::{about, record_literal, record_subject},
    names, terms,
    vocabulary::{PREFIXES, RECORD},
};
use crate::exchange::export::WriteRecords;

/// Writes quads in one of the two forms.
pub(super) enum QuadOut<W: Write> {
    /// One a line.
    NQuads(W),
    /// By graphs; `None` once it is finished.
    TriG(Option<Box<WriterTriGSerializer<W>>>),
}

impl<W: Write> QuadOut<W> {
    pub(super) fn trig(out: W) -> QuadOut<W> {
        let mut form = TriGSerializer::new();
        for (prefix, iri) in PREFIXES {
            // The names of the vocabulary are IRIs.
            if let Ok(with) = form.clone().with_prefix(prefix, iri) {
                form = with;
            }
        }
        QuadOut::TriG(Some(Box::new(form.for_writer(out))))
    }

    pub(super) fn quad(&mut self, quad: &Quad) -> io::Result<()> {
        match self {
            QuadOut::NQuads(out) => writeln!(out, "{quad} ."),
            QuadOut::TriG(Some(out)) => out.serialize_quad(quad),
            QuadOut::TriG(None) => Ok(()),
        }
    }

    pub(super) fn finish(&mut self) -> io::Result<()> {
        match self {
            QuadOut::NQuads(out) => out.flush(),
            QuadOut::TriG(out) => match out.take() {
                Some(out) => out.finish()?.flush(),
                None => Ok(()),
            },
        }
    }
}

/// The triple of a claim, in a graph.
pub(super) fn triple(claim: &Assertion, graph: GraphName) -> Quad {
    Quad::new(names::name(&claim.subject), names::name(&claim.predicate), terms::term(&claim.object), graph)
}

/// Writes every record as quads.
pub(in crate::exchange) struct QuadsOut<W: Write>(QuadOut<W>);

impl<W: Write> QuadsOut<W> {
    pub(in crate::exchange) fn nquads(out: W) -> QuadsOut<W> {
        QuadsOut(QuadOut::NQuads(out))
    }

    pub(in crate::exchange) fn trig(out: W) -> QuadsOut<W> {
        QuadsOut(QuadOut::trig(out))
    }

    fn claim(&mut self, id: &ClaimId, claim: &Assertion, recorded_at: Micros) -> io::Result<()> {
        let this = names::claim(id);
        self.0.quad(&triple(claim, this.clone().into()))?;
        for said in about(claim, recorded_at) {
            let predicate = NamedNode::new_unchecked(said.predicate);
            self.0.quad(&Quad::new(this.clone(), predicate, said.object, GraphName::DefaultGraph))?;
        }
        Ok(())
    }
}

impl<W: Write> WriteRecords for QuadsOut<W> {
    fn record(&mut self, recorded: &Recorded) -> io::Result<bool> {
        match (&recorded.command, &recorded.id) {
            (Command::Assert(claim), Some(id)) => {
                self.claim(id, claim, Micros(recorded.recorded_at.0))?;
            }
            (command, _) => {
                let predicate = NamedNode::new_unchecked(RECORD);
                let (subject, literal) = (record_subject(command), record_literal(command));
                self.0.quad(&Quad::new(subject, predicate, literal, GraphName::DefaultGraph))?;
            }
        }
        Ok(true)
    }

    fn finish(&mut self) -> io::Result<()> {
        self.0.finish()
    }
}
