//! The one table of error codes.

use std::fmt;

macro_rules! codes {
    ($($variant:ident = $name:literal, $status:literal, $title:literal, $meaning:literal;)+) => {
        /// A stable error code. The name is what programs may compare; titles and details are for people.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(#[doc = $meaning] $variant,)+
        }

        impl Code {
            /// Every code, in the order of the table.
            pub const ALL: &'static [Code] = &[$(Code::$variant,)+];

            /// The name on the wire.
            pub const fn name(self) -> &'static str {
                match self { $(Code::$variant => $name,)+ }
            }

            /// The HTTP status of a reply whose first error has this code.
            pub const fn status(self) -> u16 {
                match self { $(Code::$variant => $status,)+ }
            }

            /// What it is, in a few words.
            pub const fn title(self) -> &'static str {
                match self { $(Code::$variant => $title,)+ }
            }

            /// What it means and what to do.
            pub const fn meaning(self) -> &'static str {
                match self { $(Code::$variant => $meaning,)+ }
            }
        }
    };
}

codes! {
    // The request is not of the right shape.
    InvalidUtf8 = "invalid_utf8", 400, "Not UTF-8", "The text is not UTF-8. The detail names the byte where it stops being so.";
    InvalidJson = "invalid_json", 400, "Not JSON", "The text is not JSON (RFC 8259). The detail names the line and column.";
    WrongType = "wrong_type", 400, "Wrong JSON type", "The member exists, but its value is of another JSON type than expected.";
    UnknownField = "unknown_field", 400, "Unknown field", "The record has no such member. The detail lists those it has.";
    MissingField = "missing_field", 400, "Missing field", "A required member is absent.";
    DuplicateKey = "duplicate_key", 400, "Key named twice", "A JSON object names the same key twice.";
    TooDeep = "too_deep", 400, "Nested too deeply", "A JSON value is nested deeper than 32 levels.";
    UnknownParameter = "unknown_parameter", 400, "Unknown parameter", "The route takes no such query parameter. The detail lists those it takes.";
    MissingParameter = "missing_parameter", 400, "Missing parameter", "A required query parameter is absent.";
    DuplicateParameter = "duplicate_parameter", 400, "Parameter given twice", "A query parameter is given more than once.";
    InvalidParameter = "invalid_parameter", 400, "Invalid parameter", "A path or query parameter is not of the form that the route takes.";
    InvalidEncoding = "invalid_encoding", 400, "Undecodable body", "The body is not what its Content-Encoding says, or it ends early.";
    InvalidCsv = "invalid_csv", 400, "Not CSV", "The text is not CSV as `docs/formats/csv.md` says, or a row has not as many cells as the header.";
    InvalidRdf = "invalid_rdf", 400, "Not RDF", "The text is not N-Quads or TriG. The detail names the line.";
    BadRequest = "bad_request", 400, "Bad request", "The request is not HTTP as this server understands it.";
    RequestTimeout = "request_timeout", 408, "Body too slow", "No part of the body arrived within the time allowed.";
    KeyRequired = "key_required", 401, "A key is needed", "The route asks for an API key: `Authorization: Bearer stemedb_…`. Nothing was done.";
    KeyMalformed = "key_malformed", 401, "Not a key", "What `Authorization` has is not an API key: it was cut or mistyped, or is of another scheme. Nothing was done.";
    KeyRefused = "key_refused", 401, "Key refused", "No key with this secret is good: it is unknown, was revoked, or its time is over. Nothing was done.";
    ScopeMissing = "scope_missing", 403, "Scope missing", "The key is good, but not for this: `scope` says which scope it lacks. Nothing was done.";
    AgentMismatch = "agent_mismatch", 403, "Another agent", "The key is bound to an agent, and the record is not that agent's. Nothing was applied.";
    AuthorityTooLow = "authority_too_low", 403, "Class too low", "Neither the agent nor the successor has a class that may set this claim aside. Nothing was applied.";
    NotFound = "not_found", 404, "No such route", "Nothing lives at this path.";
    ClaimNotFound = "claim_not_found", 404, "No such claim", "No claim with this id was known at the moment asked for.";
    JobNotFound = "job_not_found", 404, "No such job", "No job with this number is known: there was none since the server began, or it ended long ago.";
    KeyNotFound = "key_not_found", 404, "No such key", "No API key has this id.";
    WatchNotFound = "watch_not_found", 404, "No such watch", "No watch with this id is registered.";
    MethodNotAllowed = "method_not_allowed", 405, "Method not allowed", "The path exists, but not for this method. The Allow header lists the methods it has.";
    NotAcceptable = "not_acceptable", 406, "Not acceptable", "The Accept header names none of the media types that the route can answer with.";
    WrongTimeline = "wrong_timeline", 410, "Another timeline", "The position is of another timeline of this database: it was restored to a point in time since. Begin again without it.";
    CursorExpired = "cursor_expired", 410, "Cursor expired", "The moment that the cursor is of is not remembered any more. Begin again without it.";
    BodyTooLarge = "body_too_large", 413, "Body too large", "The body exceeds the limit that the detail states. Of an import, the limit is on the decompressed size.";
    UnsupportedMediaType = "unsupported_media_type", 415, "Unsupported media type", "The Content-Type is missing or not one that the route takes.";
    UnsupportedEncoding = "unsupported_encoding", 415, "Unsupported encoding", "The Content-Encoding is not one that the route takes.";
    UriTooLong = "uri_too_long", 414, "Target too long", "The target of the request exceeds what a connection reads.";
    HeadTooLarge = "head_too_large", 431, "Head too large", "The request's line and headers exceed the limit, in bytes or in their number.";
    RateLimited = "rate_limited", 429, "Too many requests", "The caller has used up what it may ask for in this time; `RateLimit-Policy` says how much that is. Nothing was done; try again after the time given.";
    // The request is well formed and breaks a rule.
    LineTooLong = "line_too_long", 422, "Line too long", "A line of an import exceeds 1 MiB.";
    IdMismatch = "id_mismatch", 422, "Not the claim it says", "The id that an imported claim gives is not the hash of its content: one of both was changed.";
    IncompleteRecord = "incomplete_record", 422, "Incomplete", "Quads of a claim, or graphs of a nanopublication, are missing. The detail says which.";
    BlankNode = "blank_node", 422, "Blank node", "A quad has a blank node, which has no name outside of its file. Name a scope for them.";
    Empty = "empty", 422, "Empty", "A text that must not be empty is.";
    TooLong = "too_long", 422, "Too long", "A text exceeds its bound in bytes.";
    TooMany = "too_many", 422, "Too many", "A list has more members than allowed.";
    ControlCharacter = "control_character", 422, "Control character", "A name contains a control character.";
    NulCharacter = "nul_character", 422, "NUL character", "A text contains U+0000.";
    OutOfRange = "out_of_range", 422, "Out of range", "A number lies outside its range.";
    TooManyDigits = "too_many_digits", 422, "Too many digits", "A number has more significant digits than can be kept exactly.";
    ExponentOutOfRange = "exponent_out_of_range", 422, "Exponent out of range", "A number's decimal exponent is too large or too small.";
    NotATime = "not_a_time", 422, "Not a time", "The text is not an RFC 3339 date and time with an offset.";
    NotHex = "not_hex", 422, "Not hexadecimal", "The text is not the expected number of hexadecimal digits.";
    NotANumber = "not_a_number", 422, "Not a number", "The text is not a number of the JSON grammar, or not an integer where one is needed.";
    UnknownName = "unknown_name", 422, "Unknown name", "The word is not one of those known here. The detail lists them.";
    NullValue = "null_value", 422, "Null is not a value", "JSON null cannot be claimed.";
    NotCanonical = "not_canonical", 422, "Not canonical", "A list or a JSON text is not in its canonical form.";
    EmptyInterval = "empty_interval", 422, "Empty interval", "A span of time ends at or before its start.";
    KindMismatch = "kind_mismatch", 422, "Kind mismatch", "A supersession retracts exactly when it names no successor.";
    SelfReference = "self_reference", 422, "Refers to itself", "A record refers to itself.";
    UnknownClaim = "unknown_claim", 422, "Unknown claim", "The record refers to a claim that does not exist.";
    MissingAgent = "missing_agent", 422, "Missing agent", "A signature is given without the agent who made it.";
    SignatureInvalid = "signature_invalid", 422, "Invalid signature", "A signature does not verify for its agent over this record.";
    SignatureRequired = "signature_required", 422, "Signature required", "This database takes signed records only.";
    SupersessionCycle = "supersession_cycle", 422, "Circle of supersessions", "The successor is itself superseded by the old claim, directly or through others.";
    ChainTooLong = "chain_too_long", 422, "Chain too long", "Too many claims have followed the successor to see whether they lead back to the old claim. Name the newest of them.";
    NotWatchable = "not_watchable", 422, "Cannot be watched", "The answer hangs on more than the journal and one question. The detail says on what.";
    IdempotencyMismatch = "idempotency_mismatch", 422, "Key used before", "The Idempotency-Key was given with another request before. Nothing was begun.";
    TooLarge = "too_large", 422, "Too large", "The commands of one request exceed what one journal entry may hold.";
    // The state does not allow it.
    PositionGone = "position_gone", 410, "Position gone", "The position is of another timeline, or the journal begins after it. The detail says which; begin anew with a copy of the present state.";
    LsnNotReached = "lsn_not_reached", 409, "Not reached", "The LSN asked for lies in the future of this database.";
    JobRunning = "job_running", 409, "Another job runs", "A job that must not run beside this one is under way; the detail says which. Nothing was begun; ask again when it has ended.";
    WatchExists = "watch_exists", 409, "Another watch", "A watch with this id and another content is registered. Remove it first, or choose another id. Nothing was applied.";
    NotADatabase = "not_a_database", 409, "Not a database", "The folder holds no database. Create one explicitly.";
    AlreadyExists = "already_exists", 409, "Already there", "The folder is not empty.";
    InUse = "in_use", 409, "In use", "Another process has the database open.";
    OtherDerivation = "other_derivation", 409, "Another version", "The view was derived by a newer program, or by an older one whose view this program cannot read and whose journal does not reach back. Nothing was changed.";
    ScrubOff = "scrub_off", 409, "Scrubbing is off", "The database was opened without the background reading of every file. `verify` reads every file once.";
    // The server cannot do it now, or at all.
    InternalError = "internal_error", 500, "Internal error", "A defect of the server. The log has more under the request's id.";
    IoError = "io_error", 500, "Input or output failed", "The operating system refused an operation. The log says which.";
    Corruption = "corruption", 500, "Damaged data", "Bytes on disk are not what was written. Nothing is answered from them; the log names file and offset.";
    BackupFailed = "backup_failed", 500, "Backup failed", "A backup or archiving did not come to its end. The job's result and the log say why; the next one sends only what is missing.";
    ServerKey = "server_key", 500, "No server key", "The file with the server's key does not hold one. The log says which file and what is wrong with it.";
    KeysDamaged = "keys_damaged", 500, "Keys cannot be read", "The file with the API keys is damaged: no key is good until it is put right. The log says which file and what is wrong with it.";
    Overloaded = "overloaded", 503, "Overloaded", "Too much is waiting. Nothing was applied; try again after the time given.";
    LockTimeout = "lock_timeout", 503, "Not admitted in time", "The write waited longer for its turn than it may, behind others or behind a disk that does not answer. Nothing was applied; try again after the time given.";
    Indeterminate = "indeterminate", 503, "Outcome unknown", "Writing failed in a way that leaves open whether the request is durable. Repeating it is safe.";
    ReadOnly = "read_only", 503, "Read-only", "The disk refuses writes, or a view is behind. Writes are accepted again by themselves when the disk answers; the health check says which it is. Nothing was applied.";
    Standby = "standby", 503, "A standby", "This server follows another one and takes no writes before it is promoted. Nothing was applied; ask the writer.";
    Fenced = "fenced", 503, "Not the writer any more", "Another server has become the writer. This one acknowledges no write; what it was sent meanwhile is not in the other. Send it again there.";
    Unavailable = "unavailable", 503, "Unavailable", "No view can answer now, or none has the keys that a listing needs: those are being derived again after an update of the program.";
    ConflictsBuilding = "conflicts_building", 503, "Being made", "The board of conflicts is being made; this goes on while nobody waits. Ask again after the time given.";
    StorageFull = "storage_full", 507, "Disk full", "No space is left, or only what background work needs. Nothing was applied. Reads go on; writes are accepted again by themselves when there is room.";
}

impl Code {
    /// True when the same request may succeed later without being changed.
    pub const fn is_retryable(self) -> bool {
        matches!(
            self,
            Code::RequestTimeout
                | Code::RateLimited
                | Code::JobRunning
                | Code::Overloaded
                | Code::LockTimeout
                | Code::Indeterminate
                | Code::Unavailable
                | Code::ConflictsBuilding
                | Code::StorageFull
        )
    }

    /// Where the code is described, relative to the documentation's root.
    pub fn page(self) -> String {
        format!("/docs/errors#{}", self.name())
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
