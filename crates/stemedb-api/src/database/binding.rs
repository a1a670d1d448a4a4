//! Records of one agent alone: what a key that is bound to an agent may make.

use stemedb_core::{AgentId, Command};

use crate::errors::{Code, FieldError};

/// Makes sure that a record is an agent's own: another's is refused, and where it names nobody it becomes the agent's. Records that
/// carry no agent are refused, because nobody could tell later whose they were; so are records about agents, by which one could
/// trust itself.
pub(crate) fn bind(command: &mut Command, agent: AgentId) -> Result<(), FieldError> {
    let other = |pointer: String| {
        let detail = format!("the key is bound to agent {agent}");
        FieldError::in_body(pointer, Code::AgentMismatch, detail)
    };
    let own =
        |named: AgentId, pointer: &str| if named == agent { Ok(()) } else { Err(other(pointer.into())) };
    match command {
        Command::Assert(claim) => {
            for (at, signature) in claim.signatures.iter().enumerate() {
                own(signature.agent, &format!("/signatures/{at}/agent"))?;
            }
            match claim.author {
                Some(author) => own(author, "/author"),
                // The author is part of what was signed.
                None if claim.signatures.is_empty() => {
                    claim.author = Some(agent);
                    Ok(())
                }
                None => Ok(()),
            }
        }
        Command::Vote(vote) => own(vote.agent, "/agent"),
        Command::Supersede(supersession) => match supersession.agent {
            Some(named) => own(named, "/agent"),
            None => {
                supersession.agent = Some(agent);
                Ok(())
            }
        },
        Command::Cosign(cosign) => own(cosign.agent, "/agent"),
        Command::Epoch(_) | Command::Source(_) | Command::Agent(_) => Err(other(String::new())),
    }
}

#[cfg(test)]
mod tests {
    use stemedb_core::{
        Agent, AgentKey, Assertion, ClaimId, Cosign, Epoch, Nano, Object, Source, SourceClass, Supersession,
        Vote,
    };

    use super::*;

    #[test]
    fn a_bound_key_makes_its_agents_records_and_no_others() {
        let (own, other) = (AgentKey::from_seed(&[1; 32]), AgentKey::from_seed(&[2; 32]));
        let agent = own.agent();
        let id = ClaimId([9; 32]);
        let claim = Assertion::new("s", "p", Object::Integer(1), "x");
        let refused = |command: Command| {
            let mut changed = command.clone();
            let error = bind(&mut changed, agent).unwrap_err();
            assert_eq!(error.code, Code::AgentMismatch);
            assert_eq!(changed, command);
            error.place.to_string()
        };
        let mut command = Command::Assert(claim.clone());
        bind(&mut command, agent).unwrap();
        let Command::Assert(bound) = &command else { unreachable!() };
        assert_eq!(bound.author, Some(agent));
        bind(&mut command, agent).unwrap();
        let mut signed = claim.clone();
        signed.sign(&own);
        let mut command = Command::Assert(signed.clone());
        bind(&mut command, agent).unwrap();
        assert_eq!(command, Command::Assert(signed.clone()), "what was signed stays as it was signed");
        signed.sign(&other);
        assert!(refused(Command::Assert(signed)).ends_with("/agent"));
        let theirs = Assertion { author: Some(other.agent()), ..claim };
        assert_eq!(refused(Command::Assert(theirs)), "/author");

        bind(&mut Command::Vote(Vote::new(id, agent, Nano::ONE)), agent).unwrap();
        assert_eq!(refused(Command::Vote(Vote::new(id, other.agent(), Nano::ONE))), "/agent");
        let mut command = Command::Supersede(Supersession::retract(id));
        bind(&mut command, agent).unwrap();
        let Command::Supersede(bound) = &command else { unreachable!() };
        assert_eq!(bound.agent, Some(agent));
        let theirs = Supersession { agent: Some(other.agent()), ..Supersession::retract(id) };
        assert_eq!(refused(Command::Supersede(theirs)), "/agent");
        let signature = stemedb_core::SignatureBytes([0; 64]);
        assert_eq!(refused(Command::Cosign(Cosign { claim: id, agent: other.agent(), signature })), "/agent");
        refused(Command::Agent(Agent::new(agent)));
        refused(Command::Source(Source::new("x", SourceClass::ANECDOTAL)));
        refused(Command::Epoch(Epoch::new("e")));
    }
}
