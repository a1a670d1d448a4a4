"""What the server answers, as dictionaries with known members.

What the server does not say is not there; members that came after this client was made are there, too. Values
(``value``, ``object``) are as JSON has them: :func:`stemedb.value_of` makes of them what they stand for.
"""

from __future__ import annotations

from typing import Any, Dict, List, Optional, TypedDict


class Recorded(TypedDict, total=False):
    """What became of a write."""

    id: str
    lsn: int
    #: False if it was there already.
    created: bool
    cosigned: int


class ValueSupport(TypedDict, total=False):
    """One value that is claimed, and who stands behind it."""

    value: Any
    share: float
    support: float
    voices: int
    independent_voices: int
    sources: List[str]
    claims: List[str]


class Candidate(TypedDict, total=False):
    """A claim that was looked at."""

    id: str
    object: Any
    confidence: float
    source: str
    source_class: int
    lsn: int
    recorded_at: str
    observed_at: str
    author: str
    epoch: str
    lifecycle: str
    valid_from: str
    valid_to: str
    votes: List[Dict[str, Any]]
    signers: List[str]
    tainted_by: str
    lineage_cut: bool


class Layer(TypedDict, total=False):
    """What one class of sources says."""

    value: Any
    share: float
    support: float
    conflict_score: float
    considered: int
    winners: List[str]


class Answer(TypedDict, total=False):
    """The answer of ``query``; those of ``skeptic`` and ``layered`` have some of its members."""

    subject: str
    predicate: str
    lens: str
    value: Any
    confidence: float
    margin: float
    conflict_score: float
    #: ``unanimous``, ``agreed``, ``contested`` or ``unknown``.
    status: str
    winners: List[str]
    values: List[ValueSupport]
    candidates: List[Candidate]
    considered: int
    set_aside: List[Dict[str, str]]
    layers: List[Layer]
    cross_class_conflict: float
    tainted: List[Dict[str, str]]
    lsn: int
    evaluated_at: str
    epoch: str
    decay: bool
    lens_version: int
    lens_hash: str
    fragility: Dict[str, Any]
    explain: Dict[str, Any]
    known: Dict[str, Any]
    receipt: Dict[str, Any]


class StoredAssertion(TypedDict, total=False):
    """A claim as it was asserted; :meth:`Assertion.from_reply` reads it."""

    id: str
    lsn: int
    ordinal: int
    recorded_at: str
    subject: str
    predicate: str
    object: Any
    source: str
    confidence: float
    source_class: int
    author: str
    excerpt_hash: str
    epoch: str
    lifecycle: str
    valid_from: str
    valid_to: str
    observed_at: str
    parents: List[str]
    signatures: List[Dict[str, str]]


class History(TypedDict, total=False):
    """What was said about a claim: one page of it."""

    claim: StoredAssertion
    remarks_total: int
    remarks: List[Dict[str, Any]]
    chain: Dict[str, Any]
    lineage: Dict[str, Any]
    as_of: int


class Impact(TypedDict, total=False):
    """What derives from a claim."""

    id: str
    direct: int
    total: int
    depth: int
    questions: int
    complete: bool
    nearest: List[Dict[str, str]]
    as_of: int


class AgentKnown(TypedDict, total=False):
    """What is known about an agent."""

    id: str
    recorded: bool
    name: str
    trust: float
    lsn: int
    recorded_at: str
    as_of: int


class QuestionSummary(TypedDict, total=False):
    """A question that claims answer."""

    subject: str
    predicate: str
    claims: int
    newest_lsn: int


class Conflict(TypedDict, total=False):
    """A question whose claims disagree."""

    subject: str
    predicate: str
    conflict_score: float
    status: str
    values: int
    support: float
    considered: int


class Knowledge(TypedDict, total=False):
    """How all questions stand together."""

    questions: int
    unanimous: int
    agreed: int
    open_conflicts: int
    claims: int
    single_source: int
    single_source_share: float
    unsigned_claims: int
    unsigned_share: float


class QuestionChange(TypedDict, total=False):
    """What changed about one question."""

    subject: str
    predicate: str
    answers: List[Dict[str, Any]]
    claims: List[str]
    votes: List[Dict[str, Any]]
    supersessions: List[Dict[str, Any]]
    cosignatures: List[Dict[str, Any]]


class Difference(TypedDict, total=False):
    """What changed between two moments: one page of it."""

    to: int
    evaluated_at: str
    examined: int
    changes: List[QuestionChange]
    next: Dict[str, str]


class Change(TypedDict, total=False):
    """One change, as the feed tells it; ``record`` has the members of the request that records the same."""

    lsn: int
    ordinal: int
    #: How many changes the entry has.
    of: int
    recorded_at: str
    kind: str
    id: str
    record: Dict[str, Any]


class Notice(TypedDict, total=False):
    """An answer has crossed a line."""

    watch: str
    lsn: int
    position: str
    recorded_at: str
    crossed: List[str]
    before: Dict[str, Any]
    after: Dict[str, Any]


class RegisteredWatch(TypedDict, total=False):
    """A watch that is registered."""

    id: str
    subject: str
    predicate: str
    lens: str
    since: int
    timeline: int


class WatchesAdded(TypedDict, total=False):
    """Watches that were registered together."""

    watches: int
    created: int
    existing: int
    since: int
    timeline: int


class Verdict(TypedDict, total=False):
    """What became of one record of an import: ``created``, or ``code``, ``detail`` and ``errors``."""

    line: int
    id: str
    lsn: int
    created: bool
    code: str
    detail: str
    errors: List[Dict[str, str]]


class ImportReport(TypedDict):
    """How an import ended."""

    complete: bool
    lines: int
    created: int
    #: There already; also what was recorded by a request whose reply was lost.
    existing: int
    refused: int
    lsn: int


class Health(TypedDict, total=False):
    """How the server is, in detail."""

    status: str
    version: str
    timeline: int
    durable_lsn: int
    published_lsn: int
    readable: bool
    writable: bool
    refusing_writes: str
    views: List[Dict[str, Any]]
    space: Dict[str, Any]
    stall: Dict[str, Any]


class Readiness(TypedDict):
    """Whether requests should be sent to the server, by which checks."""

    ready: bool
    checks: List[Dict[str, Any]]


class StorageStats(TypedDict, total=False):
    """Figures of the storage, and what they mean."""

    sst_file_count: int
    total_bytes: int
    pending_compaction_bytes: int
    index_memory_bytes: int
    cache_memory_bytes: int
    write_amplification: float
    verdict: str
    checks: List[Dict[str, Any]]


class Job(TypedDict, total=False):
    """Long work."""

    job: int
    kind: str
    #: ``running``, ``done``, ``failed``, ``stopped``; ``none`` of a backup's status before the first.
    state: str
    began_at: str
    ended_at: str
    parameters: Dict[str, Any]
    done_bytes: int
    total_bytes: int
    result: Any
    problem: Dict[str, str]
    target: str


class ApiKey(TypedDict, total=False):
    """An API key; ``key`` is in the answer to its making alone."""

    id: str
    label: str
    scopes: List[str]
    agent: str
    state: str
    created_at: str
    expires_at: str
    revoked_at: str
    last_used_at: str
    key: str


class ApiKeys(TypedDict, total=False):
    """The API keys of a server."""

    mode: str
    keys: List[ApiKey]


class LogLevel(TypedDict, total=False):
    """From which level on events are logged."""

    level: str
    configured: str
    until: Optional[str]


class ServerKey(TypedDict, total=False):
    """Whose receipts a server signs."""

    server_key: str
    database: str
    timeline: int
