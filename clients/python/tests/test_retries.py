"""Retries, positions and streams against a server that fails by script."""

from __future__ import annotations

import unittest
from typing import List, Optional

from stemedb import Assertion, ConnectionFailed, Position, Problem, RetryPolicy, Session, Unsendable
from stemedb.client import Client
from stemedb.replies import Verdict

from .scripted import CLOSE, LSN, Scripted, cut, problem, reply

CREATED = '{"id":"ab","lsn":7,"created":true}'
WATER = Assertion("water", "is", "wet", "me")
PAGE = '{"questions":[],"lsn":3}'


def min_lsn(request: str) -> Optional[str]:
    lines = (line.partition(": ") for line in request.split("\r\n"))
    return next((value for name, _, value in lines if name.lower() == "stemedb-min-lsn"), None)


class Retries(unittest.TestCase):
    def test_a_write_is_repeated_through_broken_connections_and_refusals_that_pass(self) -> None:
        script = [
            CLOSE,
            problem(503, "overloaded", True, "Retry-After: 3\r\n"),
            reply("502 Bad Gateway", "", "<html>"),
            cut(LSN, '{"id":"a'),
            reply("201 Created", LSN, CREATED),
        ]
        with Scripted(script) as server:
            recorded = server.client().assert_(WATER)
            self.assertTrue(recorded["created"])
            # Half of 100 ms, then what the server asks for, then half of 400 and 800 ms.
            self.assertEqual(server.clock.slept, [0.05, 3.0, 0.2, 0.4])
            self.assertEqual(len({request.partition("\r\n\r\n")[2] for request in server.requests}), 1)

    def test_what_must_not_happen_twice_is_repeated_only_where_nothing_was_applied(self) -> None:
        with Scripted([problem(429, "rate_limited", True, "Retry-After: 1\r\n"), CLOSE]) as server:
            with self.assertRaises(ConnectionFailed) as raised:
                server.client().create_key(["read"])
            self.assertEqual((raised.exception.attempts, server.clock.slept), (2, [1.0]))

    def test_a_refusal_that_will_not_pass_is_told_at_once(self) -> None:
        with Scripted([problem(422, "brand_new", False)]) as server:
            with self.assertRaises(Problem) as raised:
                server.client().assert_(WATER)
            refusal = raised.exception
            self.assertEqual((refusal.status, refusal.code, refusal.request_id), (422, "brand_new", "r"))
            self.assertEqual((refusal.document["later"], server.clock.slept), ([1], []))

    def test_attempts_and_the_deadline_bound_the_repeating(self) -> None:
        busy = problem(503, "overloaded", True, "Retry-After: 4\r\n")
        for policy, slept in [(RetryPolicy(deadline=10), [4.0, 4.0]), (RetryPolicy(attempts=2), [4.0])]:
            with Scripted([busy] * (len(slept) + 1)) as server:
                self.assertRaises(Problem, server.client(policy).assert_, WATER)
                self.assertEqual(server.clock.slept, slept)

    def test_reads_carry_the_newest_position_and_writes_do_not(self) -> None:
        script = [
            reply("201 Created", LSN, CREATED),
            reply("200 OK", "Stemedb-Lsn: 1.3\r\n", PAGE),
            reply("200 OK", LSN, PAGE),
            reply("201 Created", LSN, CREATED),
            reply("200 OK", LSN, PAGE),
            problem(410, "position_gone", False, "Stemedb-Lsn: 2.5\r\n"),
        ]
        with Scripted(script) as server:
            client = server.client(RetryPolicy(attempts=1))
            client.assert_(WATER)
            list(client.questions())
            list(client.questions())
            client.assert_(WATER)
            session = Session(Position(1, 9))
            client.session = None
            list(client.questions())
            client.session = session
            self.assertRaises(Problem, lambda: list(client.questions()))
            # An older answer does not take the position back; a refusal says where the server is, too.
            self.assertEqual([min_lsn(request) for request in server.requests], [None, "1.7", "1.7", None, None, "1.9"])
            self.assertEqual(session.position, Position(2, 5))

    def test_a_kept_connection_that_the_server_has_closed_is_not_used(self) -> None:
        # It says that it would keep the connection, and closes it.
        kept = reply("200 OK", LSN, PAGE).replace(b"Connection: close\r\n", b"")
        with Scripted([kept, kept]) as server, server.client(RetryPolicy(attempts=1)) as client:
            list(client.questions())
            self.assertTrue(server.closed.acquire(timeout=60))
            list(client.questions())
            self.assertEqual(len(server.requests), 2)

    def test_what_cannot_be_used_is_refused_before_anything_is_sent(self) -> None:
        for url in ["localhost:18180", "ftp://x", "http://"]:
            self.assertRaises(Unsendable, Client, url)
        self.assertRaises(Unsendable, Client, key="two words")
        with Scripted([reply("307 X", "Location: http://127.0.0.1:9/\r\n", "")]) as server:
            client = server.client(RetryPolicy(attempts=1), key="stemedb_k")
            with self.assertRaises(Problem) as raised:
                client.assert_(WATER)
            self.assertEqual(raised.exception.status, 307)
            self.assertIn("authorization: bearer stemedb_k", server.requests[0].lower())


def change(lsn: int, ordinal: int, of: int) -> str:
    return f'{{"lsn":{lsn},"ordinal":{ordinal},"of":{of},"recorded_at":"t","kind":"epoch","record":{{}}}}\n'


class Streams(unittest.TestCase):
    def test_a_feed_that_breaks_off_inside_of_an_entry_tells_everything_once(self) -> None:
        def end(entries: int) -> str:
            return f'{{"end":true,"entries":{entries},"next":"1.4"}}\n'

        script = [
            cut(LSN, change(1, 0, 1) + change(2, 0, 2) + change(2, 1, 2) + change(3, 0, 2)),
            reply("200 OK", LSN, change(3, 0, 2) + change(3, 1, 2) + end(1)),
            reply("200 OK", LSN, end(0)),
        ]
        with Scripted(script) as server:
            feed = server.client().feed()
            told = [(one["lsn"], one["ordinal"]) for one in feed]
            self.assertEqual(told, [(1, 0), (2, 0), (2, 1), (3, 0), (3, 1)])
            self.assertEqual(feed.position, Position(1, 4))
            targets = [request.split(" ")[1] for request in server.requests]
            self.assertEqual(targets, ["/v1/feed", "/v1/feed?from=1.3", "/v1/feed?from=1.4"])

    def test_an_import_whose_verdicts_break_off_goes_on_behind_the_last_of_them(self) -> None:
        def verdict(line: int, created: str) -> str:
            return f'{{"line":{line},"id":"","lsn":{line},"created":{created}}}\n'

        refused = '{"line":2,"code":"empty","detail":"d","errors":[{"pointer":"/x","code":"empty","detail":"d"}]}\n'
        done = '{"end":true,"complete":true,"lines":2}\n'
        script = [cut(LSN, verdict(1, "true")), reply("200 OK", LSN, verdict(1, "false") + refused + done)]
        verdicts: List[Verdict] = []
        with Scripted(script) as server:
            claims = (Assertion("s", "p", n, "me") for n in range(3))
            report = server.client().import_records(claims, verdicts.append)
            self.assertEqual([(one["line"], "created" in one) for one in verdicts], [(1, True), (2, True), (3, False)])
            counts = (report["lines"], report["created"], report["existing"], report["refused"], report["complete"])
            self.assertEqual(counts, (3, 1, 1, 1, True))
            self.assertEqual(server.requests[1].count("subject"), 2)

    def test_an_export_that_breaks_off_is_an_error_and_never_a_short_file(self) -> None:
        for size in [-1, 8]:
            with Scripted([cut(LSN, "one\n")]) as server, server.client().export() as export:
                with self.assertRaises(ConnectionFailed):
                    while export.read(size):
                        pass
