"""The client: every method is one route of the server."""

from __future__ import annotations

import json
import os
import secrets
import ssl
from pathlib import Path
from typing import Any, Callable, Dict, IO, Iterable, Iterator, List, Optional, Sequence, Tuple, Union, cast

from ._http import Call, Stream, Transport, Whole, lines_of, path_of
from ._pages import Follow, pages, parsed
from ._retry import Broken, Clock, RetryPolicy, as_error
from .errors import EndedEarly, JobNotEnded, NotUnderstood, Problem, Unsendable
from .records import Agent, Assertion, Epoch, Record, Source, Supersession, Vote, Watch
from .replies import (
    AgentKnown,
    Answer,
    ApiKey,
    ApiKeys,
    Change,
    Conflict,
    Difference,
    Health,
    History,
    Impact,
    ImportReport,
    Job,
    Knowledge,
    LogLevel,
    Notice,
    QuestionChange,
    QuestionSummary,
    Readiness,
    Recorded,
    RegisteredWatch,
    ServerKey,
    StorageStats,
    StoredAssertion,
    Verdict,
    WatchesAdded,
)
from .session import Position, Session

#: A moment of the database: an LSN, or a time (RFC 3339).
Moment = Union[int, str]

DEFAULT_URL = "http://127.0.0.1:18180"
_IMPORT = "/v1/import"
# Records of one request: their verdicts wait in the server until the request was sent.
_CHUNK_RECORDS = 512
_CHUNK_BYTES = 1 << 20


class Export:
    """An export, to be read to its end. One that breaks off is an error of reading, never a short file."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        #: The moment that it shows.
        self.position = stream.position

    def read(self, size: int = -1) -> bytes:
        """Reads on; nothing at the end."""
        try:
            return self._stream.read(size)
        except Broken as failure:
            raise as_error(failure, 1) from failure.__cause__

    def __enter__(self) -> "Export":
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()


class Client:
    """A client of one server. It may be used from many threads. Every method waits for its reply; requests are sent again
    where that is safe (:class:`RetryPolicy`).

    ``ca_file`` (PEM) is trusted beside the system's certificates, or alone with ``only_ca_file``. ``patience`` is how many
    seconds each next sign of life of the server is waited for. ``session=None`` begins a new one; ``read_your_writes=False``
    notes no positions and takes every answer.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        key: Optional[str] = None,
        key_file: Union[None, str, Path] = None,
        ca_file: Union[None, str, Path] = None,
        only_ca_file: bool = False,
        retry: RetryPolicy = RetryPolicy(),
        patience: float = 30.0,
        session: Optional[Session] = None,
        read_your_writes: bool = True,
        _clock: Optional[Clock] = None,
    ) -> None:
        if key is None and key_file is not None:
            key = Path(key_file).read_text(encoding="utf-8").strip()
        tls = None
        if url.startswith("https:"):
            if only_ca_file and ca_file is not None:
                tls = ssl.create_default_context(cafile=str(ca_file))
            else:
                tls = ssl.create_default_context()
                if ca_file is not None:
                    tls.load_verify_locations(cafile=str(ca_file))
        self._transport = Transport(url, key, retry, patience, tls, _clock or Clock())
        #: The newest position that was seen; ``None`` if nothing is noted.
        self.session: Optional[Session] = (session or Session()) if read_your_writes else None

    @staticmethod
    def from_env() -> "Client":
        """A client of the server that the environment names: its address in ``STEMEDB_URL`` (else
        ``http://127.0.0.1:18180``), the API key in ``STEMEDB_API_KEY``, or in the file that ``STEMEDB_API_KEY_FILE`` names."""
        given = os.environ.get
        return Client(
            given("STEMEDB_URL") or DEFAULT_URL,
            key=given("STEMEDB_API_KEY") or None,
            key_file=given("STEMEDB_API_KEY_FILE") or None,
        )

    def close(self) -> None:
        """Closes connections that nobody uses. A request afterwards opens one again."""
        self._transport.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Sending.

    def _whole(self, call: Call) -> Whole:
        return self._transport.whole(call, self.session)

    def _get(self, path: str, **query: Any) -> Any:
        """Something of the data."""
        return self._whole(Call("GET", path, _named(query), is_ordered=True)).json()

    def _look(self, path: str, **query: Any) -> Any:
        """Something that is not about data."""
        return self._whole(Call("GET", path, _named(query))).json()

    def _send(self, method: str, path: str, body: str, **how: Any) -> Whole:
        return self._whole(Call(method, path, body=body.encode(), **how))

    def _record(self, path: str, record: Record) -> Recorded:
        return cast(Recorded, self._send("POST", path, record.to_json()).json())

    def _remove(self, path: str, missing: str) -> bool:
        try:
            self._whole(Call("DELETE", path))
            return True
        except Problem as problem:
            if problem.status == 404 and problem.code == missing:
                return False
            raise

    # Recording. All of it may be repeated: what was recorded before is answered with `created: False`.

    def assert_(self, claim: Assertion) -> Recorded:
        """Records a claim."""
        return self._record("/v1/assert", claim)

    def vote(self, vote: Vote) -> Recorded:
        """Records an agent's weight for or against a claim."""
        return self._record("/v1/vote", vote)

    def supersede(self, supersession: Supersession) -> Recorded:
        """Sets a claim aside."""
        return self._record("/v1/supersede", supersession)

    def epoch(self, epoch: Epoch) -> Recorded:
        """Opens an epoch."""
        return self._record("/v1/epoch", epoch)

    def source(self, source: Source) -> Recorded:
        """Records what is known about a source."""
        return self._record("/v1/source", source)

    def agent(self, agent: Agent) -> Recorded:
        """Records what is known about an agent."""
        return self._record("/v1/agent", agent)

    # Many records at once.

    def import_records(
        self,
        records: Iterable[Record],
        on_verdict: Optional[Callable[[Verdict], None]] = None,
        *,
        stop_at_error: bool = False,
    ) -> ImportReport:
        """Records many, of any kind, as they are produced. ``on_verdict`` is told of each, in their order.

        Where a reply breaks off, what has no verdict is sent again. After an error, what has a verdict is recorded;
        importing everything again is safe.
        """
        report = ImportReport(complete=True, lines=0, created=0, existing=0, refused=0, lsn=0)
        chunk: List[bytes] = []
        size = 0
        for record in records:
            chunk.append(record.to_json(kind=True).encode() + b"\n")
            size += len(chunk[-1])
            if len(chunk) >= _CHUNK_RECORDS or size >= _CHUNK_BYTES:
                if not self._send_chunk(chunk, report, on_verdict, stop_at_error):
                    return report
                chunk, size = [], 0
        if chunk:
            self._send_chunk(chunk, report, on_verdict, stop_at_error)
        return report

    def _send_chunk(
        self,
        chunk: Sequence[bytes],
        report: ImportReport,
        on_verdict: Optional[Callable[[Verdict], None]],
        stop_at_error: bool,
    ) -> bool:
        """Sends a chunk until each of its lines has a verdict. False if the server stopped at a refused one."""
        before, done, failures = report["lines"], 0, 0
        query = {"verdicts": "all", "on_error": "stop" if stop_at_error else "continue"}
        while True:
            base = done
            call = Call("POST", _IMPORT, query, b"".join(chunk[base:]), "application/x-ndjson")
            reply = self._transport.stream(call, self.session)
            try:
                while True:
                    line = reply.line()
                    if line is None:
                        raise Broken("the verdicts were cut off")
                    said = parsed(_IMPORT, line)
                    if said.get("end") is True:
                        if said.get("error") is not None:
                            raise EndedEarly(said["error"].get("code", ""), said["error"].get("detail", ""))
                        report["complete"] = bool(said.get("complete"))
                        if report["complete"]:
                            report["lines"] = before + len(chunk)
                        return report["complete"]
                    done = min(base + said["line"], len(chunk))
                    failures = 0
                    said["line"] += before + base
                    report["lines"] = said["line"]
                    report["lsn"] = max(report["lsn"], said.get("lsn", 0))
                    if "created" not in said:
                        report["refused"] += 1
                    elif said["created"]:
                        report["created"] += 1
                    else:
                        report["existing"] += 1
                    if on_verdict is not None:
                        on_verdict(cast(Verdict, said))
            except Broken as failure:
                failures += 1
                if failures >= self._transport.retry.attempts:
                    raise as_error(failure, failures) from failure.__cause__
            finally:
                reply.close()
            self._transport.pause(failures)

    def import_document(
        self,
        media_type: str,
        document: Union[bytes, IO[bytes]],
        on_refused: Optional[Callable[[Verdict], None]] = None,
        *,
        stop_at_error: bool = False,
    ) -> ImportReport:
        """Records a document of another format whole, in one request: ``text/csv``, ``application/n-quads``,
        ``application/trig``, or JSON lines. Only refused records have verdicts."""
        body = document if isinstance(document, bytes) else document.read()
        query = {"on_error": "stop" if stop_at_error else "continue"}
        reply = self._whole(Call("POST", _IMPORT, query, body, media_type))
        for line in lines_of(reply.body):
            said = parsed(_IMPORT, line)
            if said.get("end") is not True:
                if on_refused is not None:
                    on_refused(cast(Verdict, said))
                continue
            if said.get("error") is not None:
                raise EndedEarly(said["error"].get("code", ""), said["error"].get("detail", ""))
            return ImportReport(
                complete=said["complete"],
                lines=said["lines"],
                created=said["created"],
                existing=said["existing"],
                refused=said["refused"],
                lsn=said["lsn"],
            )
        raise NotUnderstood("the reply of an import has no end record")

    def export(
        self,
        format: str = "jsonl",
        *,
        as_of: Optional[Moment] = None,
        subject: Optional[str] = None,
        prefix: Optional[str] = None,
        predicate: Optional[str] = None,
        source: Optional[str] = None,
    ) -> Export:
        """Begins an export: ``jsonl`` (everything, without loss), ``csv``, ``nquads``, ``trig`` or ``nanopub``."""
        query = {
            "format": format,
            "as_of": as_of,
            "subject": subject,
            "prefix": prefix,
            "predicate": predicate,
            "source": source,
        }
        call = Call("GET", "/v1/export", query, accept="*/*", is_ordered=True)
        return Export(self._transport.stream(call, self.session))

    # Asking.

    def query(
        self,
        subject: str,
        predicate: str,
        lens: Optional[str] = None,
        *,
        as_of: Optional[Moment] = None,
        known_at: Optional[Moment] = None,
        epoch: Optional[str] = None,
        decay: bool = False,
        evaluated_at: Optional[str] = None,
        tolerance: Optional[str] = None,
        without: Sequence[str] = (),
        max_class: Optional[int] = None,
        independent: bool = False,
        fragility: bool = False,
        explain: bool = False,
        receipt: bool = False,
    ) -> Answer:
        """Answers a question through a lens: ``recency``, ``consensus`` (by default), ``confidence``, ``authority``,
        ``skeptic`` or ``layered``. ``without`` names voices to leave out: ``source:ID``, ``agent:HEX``. A question about
        which nothing is claimed is no error: its ``status`` is ``unknown``."""
        return cast(
            Answer,
            self._get(
                "/v1/query",
                subject=subject,
                predicate=predicate,
                lens=lens,
                as_of=as_of,
                known_at=known_at,
                epoch=epoch,
                decay=decay,
                evaluated_at=evaluated_at,
                tolerance=tolerance,
                without=list(without),
                max_class=max_class,
                independent=independent,
                fragility=fragility,
                explain=explain,
                receipt=receipt,
            ),
        )

    def skeptic(self, subject: str, predicate: str, **parameters: Any) -> Answer:
        """How much the claims disagree. Parameters: ``as_of``, ``known_at``, ``epoch``, ``evaluated_at``, ``tolerance``,
        ``without``, ``max_class``, ``independent``."""
        return cast(Answer, self._get("/v1/skeptic", subject=subject, predicate=predicate, **parameters))

    def layered(self, subject: str, predicate: str, **parameters: Any) -> Answer:
        """What each class of sources says. Parameters as :meth:`skeptic`."""
        return cast(Answer, self._get("/v1/layered", subject=subject, predicate=predicate, **parameters))

    def assertion(self, id: str) -> StoredAssertion:
        """A claim as it was asserted."""
        return cast(StoredAssertion, self._get(path_of("/v1/assertions/", id)))

    def history(
        self, id: str, *, as_of: Optional[Moment] = None, limit: Optional[int] = None, offset: Optional[int] = None
    ) -> History:
        """What was said about a claim: its votes, co-signatures and supersessions. Ask for other pages with the ``as_of``
        of the first."""
        return cast(
            History, self._get(path_of("/v1/assertions/", id, "/history"), as_of=as_of, limit=limit, offset=offset)
        )

    def impact(self, id: str, *, as_of: Optional[Moment] = None) -> Impact:
        """What derives from a claim."""
        return cast(Impact, self._get(path_of("/v1/assertions/", id, "/impact"), as_of=as_of))

    def agent_known(self, id: str, *, as_of: Optional[Moment] = None) -> AgentKnown:
        """What is known about an agent."""
        return cast(AgentKnown, self._get(path_of("/v1/agents/", id), as_of=as_of))

    def diff(self, from_: Moment, **parameters: Any) -> Difference:
        """What changed between two moments: one page. Parameters: ``to``, ``lens`` (or ``all``), ``subject``,
        ``predicate``, ``epoch``, ``decay``, ``evaluated_at``, ``limit``, ``after_subject``, ``after_predicate``."""
        return cast(Difference, self._get("/v1/diff", from_=from_, **parameters))

    def changes(self, from_: Moment, **parameters: Any) -> Iterator[QuestionChange]:
        """What changed between two moments, question by question, through all pages of :meth:`diff`."""

        def fetch(mark: Optional[Dict[str, Any]]) -> Tuple[List[QuestionChange], Optional[Dict[str, Any]]]:
            page = self.diff(from_, **{**parameters, **(mark or {})})
            behind = page.get("next")
            if behind is None:
                return page["changes"], None
            return page["changes"], {
                "to": page["to"],
                "evaluated_at": page["evaluated_at"],
                "after_subject": behind["subject"],
                "after_predicate": behind["predicate"],
            }

        return pages(fetch)

    # Listing.

    def claims(self, **listing: Any) -> Iterator[StoredAssertion]:
        """Claims, those set aside included; all pages show the moment of the first. Everything, or one of: ``subject``
        (and ``predicate``); ``predicate`` (with ``min`` and ``max``); ``source``; ``agent``; ``prefix``;
        ``predicate_prefix``. Also ``as_of`` and ``limit`` (of a page)."""
        return self._listed("/v1/claims", "claims", listing)

    def questions(self, **listing: Any) -> Iterator[QuestionSummary]:
        """The questions that claims answer, each once; as :meth:`claims`."""
        return self._listed("/v1/questions", "questions", listing)

    def conflicts(self, min_score: Optional[float] = None, *, limit: Optional[int] = None) -> Iterator[Conflict]:
        """The questions whose claims disagree, the most contested first."""
        return self._listed("/v1/conflicts", "conflicts", {"min_score": min_score, "limit": limit})

    def knowledge(self) -> Knowledge:
        """How all questions stand together."""
        return cast(Knowledge, self._get("/v1/conflicts", limit=1)["knowledge"])

    def _listed(self, path: str, member: str, listing: Dict[str, Any]) -> Iterator[Any]:
        def fetch(cursor: Optional[str]) -> Tuple[List[Any], Optional[str]]:
            page = self._get(path, **listing, cursor=cursor)
            return page[member], page.get("cursor")

        return pages(fetch)

    # Following.

    def feed(
        self, from_: Optional[Position] = None, *, follow: bool = False, batch: Optional[int] = None
    ) -> "Follow[Change]":
        """Everything that was recorded, in order, from a position on; with ``follow`` without an end. Goes on by itself
        where a reply breaks off."""
        return Follow(self._transport, self.session, "/v1/feed", from_, {"limit": batch}, follow)

    def watch_events(
        self, from_: Optional[Position] = None, *, prefix: Optional[str] = None, follow: bool = False
    ) -> "Follow[Notice]":
        """What watches have to tell, of those whose ids begin so; as :meth:`feed`."""
        return Follow(self._transport, self.session, "/v1/watches/events", from_, {"prefix": prefix}, follow)

    def watch(self, id: str, watch: Watch) -> Tuple[RegisteredWatch, bool]:
        """Registers a watch under an id; false if the very same was registered before."""
        reply = self._send("PUT", path_of("/v1/watches/", id), watch.to_json())
        return cast(RegisteredWatch, reply.json()), reply.status == 201

    def watch_many(self, watches: Iterable[Watch]) -> WatchesAdded:
        """Registers many watches, each with its id: all of them or none."""
        lines = "".join(watch.to_json() + "\n" for watch in watches)
        reply = self._send("POST", "/v1/watches", lines, media_type="application/x-ndjson")
        return cast(WatchesAdded, reply.json())

    def watch_known(self, id: str) -> RegisteredWatch:
        """A watch as it is registered."""
        return cast(RegisteredWatch, self._get(path_of("/v1/watches/", id)))

    def unwatch(self, id: str) -> bool:
        """Removes a watch. False if there was none; also where an attempt whose reply was lost has removed it."""
        return self._remove(path_of("/v1/watches/", id), "watch_not_found")

    def watches(self, prefix: Optional[str] = None) -> Iterator[RegisteredWatch]:
        """Watches in the order of their ids, those that begin so."""

        def fetch(after: Optional[str]) -> Tuple[List[RegisteredWatch], Optional[str]]:
            page = self._get("/v1/watches", prefix=prefix, after=after)
            return page["watches"], page.get("next")

        return pages(fetch)

    # How the server is.

    def health(self) -> Health:
        """How the server is, in detail."""
        return cast(Health, self._look("/v1/health"))

    def is_alive(self) -> bool:
        """Whether the process answers and commits go on: false means that only a restart helps."""
        try:
            self._whole(Call("GET", "/livez", repeatable=False))
            return True
        except Problem as problem:
            if problem.code == "unavailable":
                return False
            raise

    def readiness(self) -> Readiness:
        """Whether requests should be sent to the server, and the checks behind it."""
        try:
            reply = self._whole(Call("GET", "/readyz", {"verbose": True}, repeatable=False))
            return Readiness(ready=True, checks=reply.json()["checks"])
        except Problem as problem:
            if problem.code == "unavailable":
                return Readiness(ready=False, checks=problem.document.get("checks", []))
            raise

    def metrics(self) -> str:
        """The server's figures, as Prometheus reads them."""
        return self._whole(Call("GET", "/metrics", accept="text/plain")).body.decode()

    def openapi(self) -> Dict[str, Any]:
        """The description of the server's routes (OpenAPI 3.1)."""
        return cast(Dict[str, Any], self._look("/openapi.json"))

    # Looking after it.

    def storage_stats(self) -> StorageStats:
        """Figures of the storage, and what they mean."""
        return cast(StorageStats, self._look("/v1/admin/storage/stats"))

    def storage_events(self, after: int = 0) -> Dict[str, Any]:
        """What happened to the files after event number ``after``."""
        return cast(Dict[str, Any], self._look("/v1/admin/storage/events", after=after))

    def scrub(self) -> Dict[str, Any]:
        """How the background reading of every file goes."""
        return cast(Dict[str, Any], self._look("/v1/admin/storage/scrub"))

    def begin_scrub(self) -> Dict[str, Any]:
        """Begins a round of it now; one that is under way goes on."""
        return cast(Dict[str, Any], self._send("POST", "/v1/admin/storage/scrub", "{}").json())

    def slow_queries(self) -> Dict[str, Any]:
        """The newest questions that took long."""
        return cast(Dict[str, Any], self._look("/v1/admin/slow-queries"))

    def log_level(self) -> LogLevel:
        """From which level on events are logged."""
        return cast(LogLevel, self._look("/v1/admin/log-level"))

    def set_log_level(self, level: str, for_seconds: Optional[int] = None) -> LogLevel:
        """Logs more or less, for some seconds or for good."""
        body = _body(level=level, for_seconds=for_seconds)
        return cast(LogLevel, self._send("PUT", "/v1/admin/log-level", body).json())

    def server_key(self) -> ServerKey:
        """Whose receipts the server signs."""
        return cast(ServerKey, self._look("/v1/admin/server-key"))

    def keys(self) -> ApiKeys:
        """The API keys, without their secrets."""
        return cast(ApiKeys, self._look("/v1/admin/keys"))

    def create_key(
        self,
        scopes: Sequence[str],
        label: str = "",
        *,
        agent: Optional[str] = None,
        expires_at: Optional[str] = None,
    ) -> ApiKey:
        """Makes an API key (scopes ``read``, ``write``, ``admin``); the reply alone has its secret. Not repeated where its
        outcome is unknown: another key would be made."""
        body = _body(scopes=list(scopes), label=label, agent=agent, expires_at=expires_at)
        return cast(ApiKey, self._send("POST", "/v1/admin/keys", body, repeatable=False).json())

    def revoke_key(self, id: str) -> bool:
        """Revokes an API key, at once. False if there is none of this id."""
        return self._remove(path_of("/v1/admin/keys/", id), "key_not_found")

    # Long work.

    def compact(self, force: bool = False) -> Job:
        """Begins to merge the view's tables; ``force``: those in shape are written anew, too."""
        return self._begin("/v1/admin/storage/compact", force=force)

    def verify(self) -> Job:
        """Begins to read every file back and check it."""
        return self._begin("/v1/admin/storage/verify")

    def backup(self, verify: bool = True) -> Job:
        """Begins a backup into the server's target; ``verify``: it is proven afterwards."""
        return self._begin("/v1/admin/backup", verify=verify)

    def archive(self, rotate: bool = False) -> Job:
        """Begins to archive released segments of the journal; ``rotate``: the present one is ended first."""
        return self._begin("/v1/admin/wal/archive", rotate=rotate)

    def backup_status(self) -> Job:
        """The newest backup or archiving."""
        return cast(Job, self._look("/v1/admin/backup/status"))

    def jobs(self) -> List[Job]:
        """The jobs that run and the newest that have ended, the newest first."""
        return cast(List[Job], self._look("/v1/admin/jobs")["jobs"])

    def job(self, number: int) -> Job:
        """A job by its number."""
        return cast(Job, self._look(f"/v1/admin/jobs/{number}"))

    def wait_for(self, job: Job, within: float) -> Job:
        """Waits until a job has ended, well or not; :class:`JobNotEnded` after ``within`` seconds."""
        clock = self._transport.clock
        began, pause = clock.now(), 0.1
        while True:
            known = self.job(job["job"])
            if known["state"] != "running":
                return known
            left = within - (clock.now() - began)
            if left <= 0:
                raise JobNotEnded(f"job {job['job']} has not ended in time")
            clock.sleep(min(pause, left))
            pause = min(2 * pause, 2.0)

    def _begin(self, path: str, **parameters: Any) -> Job:
        # A key of its own for each job that is meant makes repeating safe: the server answers with the job that it has begun.
        reply = self._send("POST", path, _body(**parameters), idempotency_key=secrets.token_hex(16))
        return cast(Job, reply.json())


def _named(query: Dict[str, Any]) -> Dict[str, Any]:
    """Parameters by their names on the wire: `from` is a word of the language."""
    return {name.rstrip("_"): value for name, value in query.items()}


def _body(**members: Any) -> str:
    try:
        return json.dumps({name: value for name, value in members.items() if value is not None})
    except (TypeError, ValueError) as error:
        raise Unsendable(str(error)) from error
