//! Who may set a claim aside.

use std::fmt;
use std::str::FromStr;

use super::AgentId;
use crate::model::{Problem, SourceClass};

/// Whether a claim is protected from those of a lower class than its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AuthorityPolicy {
    /// A supersession needs a class that is not lower than that of the claim it sets aside.
    #[default]
    Enforce,
    /// Whoever may write may set any claim aside.
    Off,
}

impl AuthorityPolicy {
    /// All policies.
    pub const ALL: [AuthorityPolicy; 2] = [AuthorityPolicy::Enforce, AuthorityPolicy::Off];

    /// The name in configurations.
    pub const fn name(self) -> &'static str {
        match self {
            AuthorityPolicy::Enforce => "enforce",
            AuthorityPolicy::Off => "off",
        }
    }
}

impl fmt::Display for AuthorityPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for AuthorityPolicy {
    type Err = Problem;

    fn from_str(text: &str) -> Result<AuthorityPolicy, Problem> {
        AuthorityPolicy::ALL.into_iter().find(|policy| policy.name() == text).ok_or(Problem::UnknownName)
    }
}

/// A class that is too low to set a claim aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("class {has} may not set aside a claim of class {needed}")]
pub struct AuthorityTooLow {
    /// The class of the claim to be set aside.
    pub needed: SourceClass,
    /// The best class of those who want to.
    pub has: SourceClass,
}

/// Who wants to set which claim aside, as far as that decides whether they may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retiring {
    /// Class of the claim to be set aside: its own, else its source's, else the lowest.
    pub old_class: SourceClass,
    /// Who wrote that claim.
    pub old_author: Option<AgentId>,
    /// Who sets it aside.
    pub agent: Option<AgentId>,
    /// That agent's class; the lowest if nothing is known, or nobody said who.
    pub agent_class: SourceClass,
    /// Class of the claim that takes its place, if one does.
    pub new_class: Option<SourceClass>,
}

impl Retiring {
    /// Whether it is allowed: an author may always set aside what he wrote himself; else the better of the agent's class
    /// and the successor's must not be lower than the old claim's.
    ///
    /// # Errors
    /// The class that is needed, and the best there is.
    pub fn check(&self) -> Result<(), AuthorityTooLow> {
        if self.agent.is_some() && self.agent == self.old_author {
            return Ok(());
        }
        // The smaller number is the better class.
        let has = self.new_class.map_or(self.agent_class, |new| new.min(self.agent_class));
        if has <= self.old_class { Ok(()) } else { Err(AuthorityTooLow { needed: self.old_class, has }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOME: Option<AgentId> = Some(AgentId([1; 32]));
    const OTHER: Option<AgentId> = Some(AgentId([2; 32]));

    #[test]
    fn the_better_of_agent_and_successor_must_not_be_lower_than_the_claim() {
        for old_class in SourceClass::ALL {
            for agent_class in SourceClass::ALL {
                for new_class in SourceClass::ALL.map(Some).into_iter().chain([None]) {
                    let retiring =
                        Retiring { old_class, old_author: SOME, agent: OTHER, agent_class, new_class };
                    let best = new_class.map_or(agent_class.number(), |new| {
                        if new.number() < agent_class.number() { new.number() } else { agent_class.number() }
                    });
                    let allowed = best <= old_class.number();
                    assert_eq!(retiring.check().is_ok(), allowed, "{retiring:?}");
                    if let Err(refused) = retiring.check() {
                        assert_eq!((refused.needed, refused.has.number()), (old_class, best));
                    }
                }
            }
        }
    }

    #[test]
    fn an_author_takes_back_his_own_and_nobody_is_no_author() {
        let lowest = SourceClass::ANECDOTAL;
        let of = |old_author, agent| Retiring {
            old_class: SourceClass::REGULATORY,
            old_author,
            agent,
            agent_class: lowest,
            new_class: None,
        };
        assert!(of(SOME, SOME).check().is_ok());
        assert!(of(SOME, OTHER).check().is_err());
        assert!(of(SOME, None).check().is_err());
        assert!(of(None, None).check().is_err(), "two claims of nobody have no author in common");
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        for policy in AuthorityPolicy::ALL {
            assert_eq!(policy.to_string().parse(), Ok(policy));
        }
        assert_eq!("on".parse::<AuthorityPolicy>(), Err(Problem::UnknownName));
        assert_eq!(AuthorityPolicy::default(), AuthorityPolicy::Enforce);
    }
}
