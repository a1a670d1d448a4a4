//! `[otlp]`.

use std::time::Duration;

use crate::{
    config::{BuiltIn, Key, Kind, Unit},
    http::OtlpEndpoint,
};

pub(super) const KEYS: &[Key] = &[
    Key {
        section: "otlp",
        name: "endpoint",
        flag: "otlp-endpoint",
        about: "The collector that spans of requests are sent to by OTLP/HTTP; `/v1/traces` is added to it",
        kind: Kind::Text {
            form: OtlpEndpoint::FORM,
            check: |text| OtlpEndpoint::parse(text).is_some(),
            set: |to, text| to.otlp.endpoint = OtlpEndpoint::parse(&text),
        },
        built_in: BuiltIn::Unset { means: "no spans are made", example: "http://127.0.0.1:4318" },
        ..Key::USUAL
    },
    Key {
        section: "otlp",
        name: "sample_ratio",
        flag: "otlp-sample-ratio",
        about: "The part of the traces beginning here that is exported; a request with a `traceparent` follows its sampled flag",
        kind: Kind::Ratio(|to, ratio| to.otlp.sample_ratio = ratio),
        built_in: BuiltIn::Is("1"),
        ..Key::USUAL
    },
    Key {
        section: "otlp",
        name: "timeout_ms",
        flag: "otlp-timeout-ms",
        about: "How long the collector may take to answer before spans are sent again",
        kind: Kind::Number {
            unit: Unit::Milliseconds,
            least: 1,
            most: 600_000,
            set: |to, ms| to.otlp.timeout = Duration::from_millis(ms),
        },
        built_in: BuiltIn::Is("10000"),
        ..Key::USUAL
    },
    Key {
        section: "otlp",
        name: "headers_file",
        flag: "otlp-headers-file",
        about: "A file of headers for the collector, `Name: value` a line, such as its key",
        kind: Kind::Path(|to, file| to.otlp.headers_file = Some(file)),
        built_in: BuiltIn::Unset { means: "no headers of its own", example: "/etc/stemedb/otlp-headers" },
        holds_secret: true,
        ..Key::USUAL
    },
];
