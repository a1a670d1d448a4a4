//! The words that are used.

/// Namespace of our own words.
pub(super) const ST: &str = "urn:stemedb:vocab#";

macro_rules! words {
    ($($(#[$meta:meta])* $name:ident = $iri:expr;)+) => {
        $($(#[$meta])* pub(super) const $name: &str = $iri;)+
    };
}

words! {
    RECORD = "urn:stemedb:vocab#record";
    CONFIDENCE = "urn:stemedb:vocab#confidence";
    SOURCE_CLASS = "urn:stemedb:vocab#sourceClass";
    EXCERPT_HASH = "urn:stemedb:vocab#excerptHash";
    EPOCH = "urn:stemedb:vocab#epoch";
    LIFECYCLE = "urn:stemedb:vocab#lifecycle";
    VALID_FROM = "urn:stemedb:vocab#validFrom";
    VALID_TO = "urn:stemedb:vocab#validTo";
    OBSERVED_AT = "urn:stemedb:vocab#observedAt";
    /// Predicate and datatype.
    SIGNATURE = "urn:stemedb:vocab#signature";
    /// The predicate under which a foreign nanopublication is kept whole.
    NANOPUBLICATION = "urn:stemedb:vocab#nanopublication";
    /// Datatype of times that XML Schema has no form for.
    TIME = "urn:stemedb:vocab#time";
    /// Datatype of instants outside of the calendar.
    INSTANT = "urn:stemedb:vocab#instant";

    PROV_SOURCE = "http://www.w3.org/ns/prov#hadPrimarySource";
    PROV_DERIVED = "http://www.w3.org/ns/prov#wasDerivedFrom";
    PROV_AUTHOR = "http://www.w3.org/ns/prov#wasAttributedTo";
    PROV_TIME = "http://www.w3.org/ns/prov#generatedAtTime";
    DCT_CREATED = "http://purl.org/dc/terms/created";

    NP_NANOPUBLICATION = "http://www.nanopub.org/nschema#Nanopublication";
    NP_ASSERTION = "http://www.nanopub.org/nschema#hasAssertion";
    NP_PROVENANCE = "http://www.nanopub.org/nschema#hasProvenance";
    NP_INFO = "http://www.nanopub.org/nschema#hasPublicationInfo";

    RDF_TYPE = "http://www.w3.org/1999/02/22-rdf-syntax-ns#type";
    RDF_JSON = "http://www.w3.org/1999/02/22-rdf-syntax-ns#JSON";
}

/// Namespace of XML Schema's datatypes.
pub(super) const XSD: &str = "http://www.w3.org/2001/XMLSchema#";

/// Prefixes of TriG that is written.
pub(super) const PREFIXES: [(&str, &str); 5] = [
    ("st", ST),
    ("prov", "http://www.w3.org/ns/prov#"),
    ("np", "http://www.nanopub.org/nschema#"),
    ("dct", "http://purl.org/dc/terms/"),
    ("xsd", XSD),
];
