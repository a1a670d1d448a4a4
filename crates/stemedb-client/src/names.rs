//! Names of closed lists that may grow: what this version does not know is kept as it was said.

/// Makes an enum of names with `Other` for those that came later.
macro_rules! names {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$about])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$doc])* $variant,)+
            /// A name that this version of the client does not know.
            Other(String),
        }

        impl $name {
            /// The name on the wire.
            pub fn as_str(&self) -> &str {
                match self {
                    $($name::$variant => $text,)+
                    $name::Other(name) => name,
                }
            }
        }

        impl From<&str> for $name {
            fn from(name: &str) -> $name {
                match name {
                    $($text => $name::$variant,)+
                    other => $name::Other(other.to_owned()),
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<$name, D::Error> {
                let name = <std::borrow::Cow<'_, str> as serde::Deserialize>::deserialize(deserializer)?;
                Ok($name::from(name.as_ref()))
            }
        }
    };
}

names! {
    /// Through which lens a question is looked at.
    Lens {
        /// The newest claim.
        Recency = "recency",
        /// What most say.
        Consensus = "consensus",
        /// The most confident claim.
        Confidence = "confidence",
        /// The best class of sources first.
        Authority = "authority",
        /// How much the claims disagree.
        Skeptic = "skeptic",
        /// What each class of sources says.
        Layered = "layered",
    }
}

names! {
    /// How far the claims agree.
    Status {
        /// One value.
        Unanimous = "unanimous",
        /// One value has most of the support.
        Agreed = "agreed",
        /// None has.
        Contested = "contested",
        /// Nothing is claimed.
        Unknown = "unknown",
    }
}

names! {
    /// What a supersession does.
    SupersessionKind {
        /// The new claim takes the old one's place.
        Replaces = "replaces",
        /// The old one was wrong.
        Corrects = "corrects",
        /// Without a successor.
        Retracts = "retracts",
        /// The new one is more exact.
        Refines = "refines",
    }
}

names! {
    /// The stage of a claim's life.
    Lifecycle {
        /// Proposed.
        Proposed = "proposed",
        /// Under review.
        UnderReview = "under_review",
        /// Approved.
        Approved = "approved",
        /// Deprecated.
        Deprecated = "deprecated",
        /// Rejected.
        Rejected = "rejected",
    }
}

names! {
    /// What an API key may do.
    Scope {
        /// Read.
        Read = "read",
        /// Record.
        Write = "write",
        /// Look after the server.
        Admin = "admin",
    }
}

names! {
    /// Where a job is.
    JobState {
        /// Under way.
        Running = "running",
        /// It has done what it was to do.
        Done = "done",
        /// It has failed.
        Failed = "failed",
        /// The server stopped before its end.
        Stopped = "stopped",
        /// There was none yet.
        None = "none",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_came_later_is_kept() {
        let read: Vec<Status> = serde_json::from_str(r#"["agreed","undecided"]"#).unwrap();
        assert_eq!(read, [Status::Agreed, Status::Other("undecided".to_owned())]);
        assert_eq!(serde_json::to_string(&read).unwrap(), r#"["agreed","undecided"]"#);
    }
}
