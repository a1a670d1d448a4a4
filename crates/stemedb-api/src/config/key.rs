//! What is known about a key.

use super::Kind;

/// One key of the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// The section of the file that it stands in.
    pub section: &'static str,
    /// Its name there. Units are part of it.
    pub name: &'static str,
    /// Its flag, without dashes in front. The environment variable follows from it: [`Key::variable`].
    pub flag: &'static str,
    /// Who has the flag.
    pub flag_of: FlagOf,
    /// What it does, in one sentence without a full stop.
    pub about: &'static str,
    /// What its values are, and what is done with them.
    pub kind: Kind,
    /// What it is where no layer says anything.
    pub built_in: BuiltIn,
    /// Its value is the path of a file with a secret. Neither the path nor what is wrong with it is ever shown with the file's
    /// content, and the name ends in `_file`.
    pub holds_secret: bool,
}

/// Which commands take the flag of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlagOf {
    /// `serve`, and the commands that look at its configuration.
    Serve,
    /// Every command: it is defined beside the commands, and means the same for all of them.
    Everything,
}

/// The value of a key that no layer names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BuiltIn {
    /// This one, written as in the environment.
    Is(&'static str),
    /// None.
    Unset {
        /// What happens then.
        means: &'static str,
        /// A value, for examples.
        example: &'static str,
    },
}

impl Key {
    /// What most keys are.
    pub(super) const USUAL: Key = Key {
        section: "",
        name: "",
        flag: "",
        flag_of: FlagOf::Serve,
        about: "",
        kind: Kind::Choice(&[]),
        built_in: BuiltIn::Is(""),
        holds_secret: false,
    };

    /// `section.name`.
    pub fn path(&self) -> String {
        format!("{}.{}", self.section, self.name)
    }

    /// Its environment variable.
    pub fn variable(&self) -> String {
        format!("STEMEDB_{}", self.flag.replace('-', "_").to_ascii_uppercase())
    }

    /// True for the key of this section and name.
    pub fn is(&self, section: &str, name: &str) -> bool {
        (self.section, self.name) == (section, name)
    }
}
