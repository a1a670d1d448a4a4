"""What docs/clients.md shows, run. The page's blocks are excerpts of this file, which `cargo xtask docs` compares line by line.

Not found by name: `cargo test -p stemedb-api --test clients` runs it against a server that STEMEDB_URL names.
"""

from __future__ import annotations

import unittest
from typing import List

from stemedb import Assertion, Client, Position
from stemedb.replies import Change, Verdict


class Snippets(unittest.TestCase):
    def test_many_records(self) -> None:
        claims = [Assertion("cas:1", "density", value, "handbook") for value in (1.5, 2.5)]
        verdicts: List[Verdict] = []
        told: List[Change] = []

        def handle(change: Change) -> bool:
            told.append(change)
            return len(told) < 2

        on_verdict = verdicts.append
        position = Position.parse("1.1")
        with Client.from_env() as db:
            report = db.import_records(claims, on_verdict)
            for change in db.feed(position, follow=True):
                if not handle(change):
                    break
        self.assertEqual((report["lines"], len(verdicts), len(told)), (2, 2, 2))


if __name__ == "__main__":
    unittest.main()
