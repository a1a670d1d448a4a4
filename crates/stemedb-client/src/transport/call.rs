//! One request, before it is sent.

use std::time::Duration;

/// Whether a request may be sent again when nobody knows what became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Safety {
    /// Reads, and writes whose content is their identity: the second time they change nothing.
    Repeatable,
    /// What would happen twice.
    Once,
}

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub method: &'static str,
    pub path: String,
    /// The parameters, escaped, with the question mark.
    pub query: String,
    pub safety: Safety,
    pub body: Option<(&'static str, Vec<u8>)>,
    pub accept: &'static str,
    pub idempotency_key: Option<String>,
    /// The server may be asked to wait this long before it says anything.
    pub wait: Duration,
    /// Whether the answer must not be from before what the session has seen.
    pub is_ordered: bool,
}

const JSON: &str = "application/json";

impl Call {
    /// Reads something of the data.
    pub fn get(path: impl Into<String>) -> Call {
        Call {
            method: "GET",
            path: path.into(),
            query: String::new(),
            safety: Safety::Repeatable,
            body: None,
            accept: JSON,
            idempotency_key: None,
            wait: Duration::ZERO,
            is_ordered: true,
        }
    }

    /// Asks something that is not about data: how the server is, and the like.
    pub fn look(path: impl Into<String>) -> Call {
        Call { is_ordered: false, ..Call::get(path) }
    }

    /// Sends JSON.
    pub fn send(method: &'static str, path: impl Into<String>, body: Vec<u8>) -> Call {
        Call { method, body: Some((JSON, body)), ..Call::look(path) }
    }

    /// Says what the body is, where it is not JSON.
    pub fn of_type(mut self, media_type: &'static str) -> Call {
        if let Some((of_type, _)) = &mut self.body {
            *of_type = media_type;
        }
        self
    }

    /// Removes something.
    pub fn delete(path: impl Into<String>) -> Call {
        Call { method: "DELETE", ..Call::look(path) }
    }

    /// Must not happen twice.
    pub fn once(self) -> Call {
        Call { safety: Safety::Once, ..self }
    }

    /// Adds a parameter.
    pub fn with(mut self, name: &str, value: impl AsRef<str>) -> Call {
        self.query.push(if self.query.is_empty() { '?' } else { '&' });
        self.query.push_str(name);
        self.query.push('=');
        escape(value.as_ref(), &mut self.query);
        self
    }

    /// Adds a parameter if there is a value.
    pub fn with_some(self, name: &str, value: Option<impl ToString>) -> Call {
        match value {
            Some(value) => self.with(name, value.to_string()),
            None => self,
        }
    }

    /// Adds a parameter that is no unless said.
    pub fn with_flag(self, name: &str, value: bool) -> Call {
        if value { self.with(name, "true") } else { self }
    }

    /// Path and parameters.
    pub fn target(&self) -> String {
        format!("{}{}", self.path, self.query)
    }
}

/// A path whose last part is somebody's name.
pub(crate) fn path_of(before: &str, name: &str, after: &str) -> String {
    let mut path = before.to_owned();
    escape(name, &mut path);
    path.push_str(after);
    path
}

/// Percent-encodes everything but RFC 3986's unreserved characters.
fn escape(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_are_escaped() {
        let call = Call::get(path_of("/v1/watches/", "team/ä b", ""))
            .with("subject", "cas:1&x=+")
            .with_flag("decay", false);
        assert_eq!(call.target(), "/v1/watches/team%2F%C3%A4%20b?subject=cas%3A1%26x%3D%2B");
    }
}
