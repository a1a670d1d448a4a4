"""Every route once, against a running server: the one that STEMEDB_TEST_URL names, which should be fresh.

`cargo test -p stemedb-api --test clients` starts one and looks afterwards whether every operation was used.
"""

from __future__ import annotations

import os
import threading
import unittest
from typing import Any, Callable, Dict, List

from stemedb import (
    Agent,
    Assertion,
    Client,
    Cosignature,
    Epoch,
    Number,
    Position,
    Problem,
    Record,
    RetryPolicy,
    Session,
    Source,
    Supersession,
    Vote,
    Watch,
    value_of,
)
from stemedb.replies import Change, Job, Verdict
from stemedb.signing import claim_id

URL = os.environ.get("STEMEDB_TEST_URL")
AGENT = "8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c"
PATIENCE = 60.0


def claim(value: Any, source: str, **more: Any) -> Assertion:
    return Assertion("cas:1", "density", value, source, **more)


@unittest.skipUnless(URL, "STEMEDB_TEST_URL names no server")
class Tour(unittest.TestCase):
    client: Client
    ids: Dict[str, str]

    def setUp(self) -> None:
        self.client = Client(URL or "")
        self.addCleanup(self.client.close)

    def test_tour(self) -> None:
        registered, created = self.client.watch("team/one", Watch("cas:1", "density", lens="authority"))
        self.assertTrue(created and registered["lens"] == "authority")
        self.write()
        self.ask()
        self.list()
        self.follow()
        self.watch()
        self.import_and_export()
        self.sessions()
        self.look_after()

    def refused(self, code: str, work: Any, *arguments: Any) -> Problem:
        with self.assertRaises(Problem) as raised:
            work(*arguments)
        self.assertEqual(raised.exception.code, code)
        return raised.exception

    def write(self) -> None:
        db = self.client
        self.assertTrue(db.source(Source("handbook", 0))["created"])
        self.assertTrue(db.source(Source("blog", 5, title="A blog"))["created"])
        self.assertTrue(db.agent(Agent(AGENT, name="desk", class_=0, trust=0.75))["created"])
        self.assertTrue(db.epoch(Epoch("2026", from_="2026-01-01T00:00:00Z"))["created"])
        said = claim(Number("1.050"), "handbook", confidence=0.9, author=AGENT, observed_at="2026-01-02T03:04:05Z")
        first = db.assert_(said)
        self.assertEqual(first["id"], claim_id(said), "the server has another id")
        again = db.assert_(said)
        self.assertEqual((again["created"], again["id"]), (False, first["id"]))
        other = db.assert_(claim(1.1, "blog"))["id"]
        derived = db.assert_(Assertion("cas:1", "weight", 7, "blog", parents=[first["id"]]))["id"]
        vote = Vote(first["id"], AGENT, 0.5, "measured")
        self.assertTrue(db.vote(vote)["created"] and not db.vote(vote)["created"])
        old = db.assert_(claim(9.9, "blog"))["id"]
        self.assertTrue(db.supersede(Supersession(old, other, "corrects", "misread", AGENT))["created"])
        problem = self.refused("control_character", db.assert_, claim("", "x\u0007"))
        self.assertEqual((problem.status, problem.errors[0]["pointer"]), (422, "/source"))
        self.assertTrue(problem.request_id)
        self.ids = {"first": first["id"], "other": other, "derived": derived, "old": old}

    def ask(self) -> None:
        db, ids = self.client, self.ids
        answer = db.query("cas:1", "density", "authority", explain=True, receipt=True, fragility=True)
        self.assertEqual((answer["value"].text, answer["status"]), ("1.050", "contested"))
        self.assertEqual(answer["winners"], [ids["first"]])
        self.assertTrue(answer["explain"] and answer["receipt"]["signature"] and answer["fragility"]["at_most"])
        self.assertEqual(answer["set_aside"][0]["by"], ids["other"])
        for lens in ["recency", "consensus", "confidence", "skeptic", "layered"]:
            self.assertEqual(db.query("cas:1", "density", lens)["lens"], lens)
        narrowed = db.query(
            "cas:1",
            "density",
            without=["source:handbook", f"agent:{AGENT}"],
            tolerance="0.1%",
            max_class=5,
            independent=True,
            decay=True,
            evaluated_at="2026-11-01T00:00:00Z",
        )
        self.assertTrue(narrowed["decay"])
        self.assertIn("excluded", [one["reason"] for one in narrowed["set_aside"]])
        nothing = db.query("cas:1", "colour")
        self.assertEqual((nothing["status"], nothing["value"]), ("unknown", None))
        self.assertEqual(db.query("cas:1", "density", as_of=5)["considered"], 1)
        self.assertEqual(db.query("cas:1", "density", known_at=5)["known"]["latest_lsn_used"], 5)
        with self.assertRaises(Problem) as raised:
            db.query("cas:1", "density", as_of="nonsense")
        self.assertEqual(raised.exception.errors[0]["parameter"], "as_of")
        skeptic = db.skeptic("cas:1", "density", max_class=5)
        self.assertTrue(skeptic["conflict_score"] > 0 and len(skeptic["values"]) == 2)
        self.assertEqual(len(db.layered("cas:1", "density")["layers"]), 2)

        stored = db.assertion(ids["first"])
        self.assertEqual(claim_id(Assertion.from_reply({**stored, "later": 1})), ids["first"])
        self.refused("claim_not_found", db.assertion, "00" * 32)
        history = db.history(ids["old"], limit=10, offset=0)
        self.assertEqual(history["chain"]["links"][0]["kind"], "corrects")
        self.assertEqual(db.impact(ids["first"])["nearest"][0]["id"], ids["derived"])
        self.assertEqual(db.agent_known(AGENT)["trust"], 0.75)
        changed = [one["predicate"] for one in db.changes(4, lens="all", limit=1)]
        self.assertEqual(changed, ["density", "weight"])
        self.assertEqual(len(db.diff(4)["changes"][0]["claims"]), 3)

    def list(self) -> None:
        db = self.client
        self.assertEqual(len(list(db.claims(subject="cas:1", limit=1))), 4)
        self.assertEqual(len(list(db.claims(predicate="density", min="1.05", max="2"))), 2)
        questions = [(one["predicate"], one["claims"]) for one in db.questions(prefix="cas:")]
        self.assertEqual(questions, [("density", 3), ("weight", 1)])
        self.assertEqual([one["predicate"] for one in db.conflicts(0.1)], ["density"])
        self.assertEqual(db.knowledge()["questions"], 2)
        with self.assertRaises(Problem):
            next(db.claims(min="1"))

    def follow(self) -> None:
        db = self.client
        feed = db.feed(batch=2)
        changes = list(feed)
        places = [(one["lsn"], one["ordinal"]) for one in changes]
        self.assertEqual((len(places), places), (10, sorted(set(places))))
        said = next(one for one in changes if one["kind"] == "assert")
        self.assertEqual(value_of(said["record"]["object"]).text, "1.050")
        self.assertEqual(feed.position, Position(1, 11))

        # Following, from where the first ended: told of what is written meanwhile.
        told: List[Change] = []
        following = db.feed(feed.position, follow=True)
        thread = threading.Thread(target=lambda: told.append(next(following)))
        thread.start()
        db.epoch(Epoch("2027"))
        thread.join(PATIENCE)
        following.close()
        self.assertEqual([(one["lsn"], one["kind"]) for one in told], [(11, "epoch")])
        self.refused("lsn_not_reached", next, db.feed(Position(1, 1_000)))

    def watch(self) -> None:
        db = self.client
        notices = list(db.watch_events(prefix="team/"))
        self.assertIn("value", notices[-1]["crossed"])
        self.assertEqual(notices[0]["before"]["status"], "unknown")
        many = [Watch("a", "b", id="x/1", margin_below=0.1), Watch("a", "c", id="x/2")]
        self.assertEqual(db.watch_many(many)["created"], 2)
        self.assertFalse(db.watch("x/2", Watch("a", "c"))[1])
        self.refused("watch_exists", db.watch, "x/1", Watch("a", "z"))
        self.assertEqual([one["id"] for one in db.watches("x/")], ["x/1", "x/2"])
        self.assertEqual(db.watch_known("team/one")["lens"], "authority")
        self.assertTrue(db.unwatch("x/1") and not db.unwatch("x/1"))

    def import_and_export(self) -> None:
        db = self.client
        verdicts: List[Verdict] = []
        claims = (Assertion(f"many:{n}", "p", n, "import") for n in range(1_500))
        report = db.import_records(claims, verdicts.append)
        self.assertEqual((report["complete"], report["lines"], report["created"]), (True, 1_500, 1_500))
        self.assertEqual([one["line"] for one in verdicts], list(range(1, 1_501)))
        same = Assertion("many:0", "p", 0, "import")
        mixed: List[Record] = [
            same,
            Assertion("", "p", 1, "import"),
            Vote(claim_id(same), AGENT, 1.0),
            Source("import", 3),
            Epoch("2028"),
            Supersession(claim_id(same), agent=AGENT),
            Cosignature(claim_id(same), AGENT, "00" * 64),
        ]
        verdicts.clear()
        report = db.import_records(mixed, verdicts.append)
        refused = [one["line"] for one in verdicts if "created" not in one]
        self.assertEqual((refused, report["existing"], report["created"]), ([2, 7], 1, 4))
        self.assertFalse(db.import_records(mixed, stop_at_error=True)["complete"])
        table = b"subject,predicate,object,source\nwater,is,wet,me\nwater,is,,\n"
        verdicts.clear()
        report = db.import_document("text/csv", table, verdicts.append)
        self.assertEqual((report["created"], len(verdicts)), (1, 1))

        with db.export(subject="cas:1") as export:
            self.assertTrue(export.position and export.position.lsn > 10)
            lines = export.read().decode().splitlines()
        self.assertEqual(len([line for line in lines if '"record":"claim"' in line]), 4)
        with db.export("csv", source="blog") as export:
            self.assertEqual(len(export.read().splitlines()), 4)

    def sessions(self) -> None:
        seen = self.client.session
        assert seen is not None and seen.position is not None
        reader = Client(URL or "", session=Session(Position.parse(str(seen.position.next()))))
        self.addCleanup(reader.close)
        answers: List[int] = []
        thread = threading.Thread(target=lambda: answers.append(reader.query("late", "p")["considered"]))
        thread.start()
        self.client.assert_(Assertion("late", "p", 1, "me"))
        thread.join(PATIENCE)
        self.assertEqual(answers, [1])
        reader.session = Session(Position(7, 1))
        self.refused("position_gone", reader.query, "late", "p")

    def look_after(self) -> None:
        db = self.client
        self.assertEqual((db.health()["status"], db.is_alive(), db.readiness()["ready"]), ("ok", True, True))
        self.assertIn("sst_file_count", [one["name"] for one in db.storage_stats()["checks"]])
        # One after the other: backups and archiving share a place.
        begins: List[Callable[[], Job]] = [db.compact, db.verify, db.backup, lambda: db.archive(True)]
        for begin in begins:
            self.assertEqual(db.wait_for(begin(), PATIENCE)["state"], "done")
        self.assertEqual(db.backup_status()["kind"], "archive")
        self.assertEqual(len(db.jobs()), 4)
        self.refused("job_not_found", db.job, 999)
        self.assertTrue(db.scrub()["enabled"] and db.begin_scrub()["enabled"])
        self.assertGreaterEqual(db.storage_events()["newest"], 1)
        self.assertGreater(db.slow_queries()["threshold_ms"], 0)
        level = db.log_level()
        self.assertEqual(db.set_log_level("debug", 60)["level"], "debug")
        self.assertNotIn("until", db.set_log_level(level["configured"]))
        self.assertEqual(len(db.server_key()["server_key"]), 64)
        key = db.create_key(["read", "admin"], "tour", expires_at="2099-01-01T00:00:00Z")
        self.assertTrue(key["key"].startswith("stemedb_"))
        listed = db.keys()["keys"][0]
        self.assertTrue(listed["label"] == "tour" and "key" not in listed)
        # From now on the server wants a key.
        reader = Client(URL or "", key=key["key"], retry=RetryPolicy(attempts=1))
        self.addCleanup(reader.close)
        self.assertEqual(len(list(reader.claims(subject="cas:1"))), 4)
        self.refused("scope_missing", reader.epoch, Epoch("x"))
        self.assertTrue(db.revoke_key(key["id"]) and not db.revoke_key("0123456789ab"))
        self.refused("key_refused", reader.query, "cas:1", "density")
        self.assertIn("paths", db.openapi())
        self.assertIn("stemedb_http_requests_total", db.metrics())
