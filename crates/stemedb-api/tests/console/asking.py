"""Asking, and looking at an answer from all sides."""

import json
import subprocess
from pathlib import Path
from urllib.parse import quote

from browser import page

FLASH = ("cas:110-62-3", "flash_point_K")
CRITICAL = ("cas:85-01-8", "critical_temperature_K")
IEC = "IEC 60079-20-1 (2010)"
LENSES = ("consensus", "recency", "confidence", "authority", "layered", "skeptic")


def asked(server, about, lens, more=""):
    subject, predicate = (quote(one, safe="") for one in about)
    return server.get(f"/v1/query?subject={subject}&predicate={predicate}&lens={lens}{more}")


def rows(watched):
    return watched.page.eval_on_selector_all(
        "#bars > .values > .value-row",
        """(all) => all.map((row) => ({
            value: row.querySelector('.value-label .said').innerText,
            share: row.querySelector('.share').innerText,
            wins: row.classList.contains('wins'),
            gone: row.classList.contains('gone'),
            width: row.querySelector('.bar-fill')?.getBoundingClientRect().width / row.querySelector('.bar').getBoundingClientRect().width,
            sources: [...row.querySelectorAll('.claims .source')].map((one) => one.innerText),
            classes: [...row.querySelectorAll('.claims .class')].map((one) => one.dataset.class),
        }))""",
    )


def test_the_front_page_leads_to_the_most_contested_question(browser, servers):
    server = servers["open"]
    with page(browser, server) as watched:
        watched.open()
        first = server.get("/v1/conflicts?limit=1")["conflicts"][0]
        watched.page.click("#welcome .conflict >> nth=0")
        watched.settled()
        assert watched.page.input_value("#subject") == first["subject"]
        assert watched.page.input_value("#predicate") == first["predicate"]
        answer = asked(server, (first["subject"], first["predicate"]), "consensus")
        assert len(rows(watched)) == len(answer["values"])
        watched.page.go_back()
        watched.page.wait_for_selector("#welcome .conflict")
        assert not watched.page.is_visible("#asked")
        watched.page.click("nav [data-view=contested]")
        watched.page.wait_for_selector("#contested .knowledge-bar")
        knowledge = server.get("/v1/conflicts")["knowledge"]
        assert f"{knowledge['open_conflicts']} contested" in watched.page.inner_text("#contested .knowledge-legend")
        watched.is_clean()


def test_bars_are_as_long_as_shares_and_name_their_sources_and_classes(browser, servers):
    server = servers["open"]
    with page(browser, server, reduced_motion="reduce") as watched:
        watched.ask(*FLASH)
        answer = asked(server, FLASH, "consensus")
        shown = rows(watched)
        assert [row["value"] for row in shown] == [str(value["value"]) for value in answer["values"]]
        for row, value in zip(shown, answer["values"]):
            assert row["share"] == f"{value['share'] * 100:.1f} %"
            assert abs(row["width"] - value["share"]) < 0.01, row
            assert row["sources"] == value["sources"]
        assert [row["wins"] for row in shown] == [True, False, False, False]
        assert shown[0]["classes"] == ["2"] and shown[2]["classes"] == ["0"]
        name = watched.page.inner_text(".about-name")
        assert name == "pentanal"
        assert watched.page.locator("svg.line circle").count() == 4
        watched.is_clean()


def test_each_of_the_six_lenses_answers_as_the_api_does_and_says_why(browser, servers):
    server = servers["open"]
    with page(browser, server) as watched:
        watched.ask(*FLASH)
        for lens in LENSES:
            watched.page.check(f"#lens-{lens}", force=True)
            watched.until(f"{lens} is asked", lambda: f"lens={lens}" in watched.page.url or lens == "consensus")
            watched.settled()
            answer = asked(server, FLASH, lens)
            expected = "No one answer" if answer["value"] is None else str(answer["value"])
            watched.until(f"{lens} answers {expected}", lambda: watched.value() == expected)
            listed = watched.page.inner_text(f".lens:has(#lens-{lens}) .lens-value")
            assert listed == ("contested" if answer["value"] is None else expected)
        # The arithmetic of each stands there with its numbers.
        why = {}
        for lens in LENSES:
            watched.page.check(f"#lens-{lens}", force=True)
            watched.until(f"{lens} is shown", lambda: watched.page.is_checked(f"#lens-{lens}") and f"lens={lens}" in watched.page.url)
            watched.settled()
            why[lens] = watched.until("an explanation", lambda: watched.page.inner_text("#why"))
        assert "1.40 ÷ 3.40" in why["consensus"] and "41.2 %" in why["consensus"]
        assert "WIKIDATA said it last" in why["recency"]
        assert "the surest" in why["confidence"]
        assert "trust 0.500 · confidence 1.000 = 0.500" in why["authority"]
        assert "regulatory" in why["layered"] and "conflict across the classes = 1.000" in why["layered"]
        assert "÷ ln 4 = 0.782826556" in why["skeptic"]
        watched.is_clean()


def test_a_source_is_left_out_and_brought_back(browser, servers):
    server = servers["open"]
    with page(browser, server) as watched:
        watched.ask(*FLASH, "authority")
        assert watched.value() == "279.15"
        assert "553.15" in watched.page.inner_text(".fragility")
        watched.page.click(f"[data-without='source:{IEC}']")
        watched.until("another answer", lambda: watched.value() == "553.15")
        without = asked(server, FLASH, "authority", f"&without={quote('source:' + IEC, safe='')}")
        assert without["value"] == 553.15
        assert "With everybody 279.15, without these 553.15" in watched.page.inner_text(".what-if")
        gone = [row for row in rows(watched) if row["gone"]]
        assert [row["value"] for row in gone] == ["279.15"]
        assert "without=source" in watched.page.url
        watched.page.click("[aria-label='Bring back IEC 60079-20-1 (2010)']")
        watched.until("the first answer", lambda: watched.value() == "279.15")
        assert not watched.page.is_visible(".what-if")
        # What would change it is one press away, too.
        watched.page.click(".fragility button")
        watched.until("the fragile answer", lambda: watched.value() == "553.15")
        # Nobody below class 0 but the sources of standards.
        watched.page.click("[aria-label='Bring back IEC 60079-20-1 (2010)']")
        watched.page.select_option("#max_class", "0")
        watched.until("only standards", lambda: len([row for row in rows(watched) if not row["gone"]]) == 2)
        watched.is_clean()


def test_the_slider_shows_what_was_known_and_two_moments_are_compared(browser, servers):
    server = servers["open"]
    with page(browser, server) as watched:
        watched.ask(*CRITICAL)
        first = watched.page.inner_text(".figures")
        assert "set aside" in watched.page.inner_text("#bars")
        watched.page.focus("#moment")
        latest = int(watched.page.get_attribute("#moment", "max"))
        for _ in range(latest - 2):
            watched.page.keyboard.press("ArrowLeft")
        watched.until("an earlier moment", lambda: "as_of=2" in watched.page.url)
        watched.settled()
        then = asked(server, CRITICAL, "consensus", "&as_of=2")
        watched.until("all eight claims count", lambda: f"of {then['considered']} claims" in watched.page.inner_text(".figures"))
        assert watched.page.inner_text(".figures") != first
        assert watched.page.get_attribute("#moment", "aria-valuetext") == f"LSN 2 of {latest}"
        watched.until("the moment is told", lambda: "claims" in watched.page.inner_text("#moment-text"))
        assert watched.page.locator("#ticks .tick").count() == 2
        watched.page.fill("#from", "2")
        watched.page.fill("#to", "3")
        watched.page.click("#difference button")
        watched.until("the difference", lambda: "1 supersession" in watched.page.inner_text("#changes"))
        assert "conflict 0.931" in watched.page.inner_text("#changes") and "conflict 0.917" in watched.page.inner_text("#changes")
        watched.page.click("#later")
        watched.until("the next change", lambda: "as_of=3" in watched.page.url or "as_of" not in watched.page.url)
        watched.page.click("#earlier")
        watched.until("the change before", lambda: "as_of=2" in watched.page.url)
        watched.page.click("#now")
        watched.until("now", lambda: "as_of" not in watched.page.url)
        watched.is_clean()


def test_what_others_record_meanwhile_is_seen_at_once(browser, servers):
    server = servers["open"]
    about = ("live:question", "answer")
    server.claim(*about, "first", "one")
    with page(browser, server) as watched:
        watched.ask(*about)
        assert watched.value() == "first"
        watched.until("it follows", lambda: watched.page.inner_text("#live-text") == "Live")
        loads = len([url for url in watched.requests if url.endswith("/console/main.js")])
        for source in ("two", "three"):
            server.claim(*about, "second", source)
        watched.until("the answer moves", lambda: watched.value() == "second")
        watched.until("it is said", lambda: "The answer has changed: second" in watched.page.inner_text("#announcement"))
        watched.until("the position follows", lambda: watched.page.inner_text("#position").replace(",", "") == str(server.get("/v1/health")["published_lsn"]))
        # A vote is about a claim, not about a question: it is followed as well.
        claim = next(one for one in asked(server, about, "consensus")["candidates"] if one["object"] == "first")
        server.post("/v1/vote", {"assertion": claim["id"], "agent": "ab" * 32, "weight": 1.0})
        watched.until("the vote counts", lambda: "+ 1.00 of votes" in watched.page.inner_text("#bars"))
        # Of others nothing is asked again, and at another moment nothing moves.
        queries = len([url for url in watched.requests if "/v1/query" in url])
        server.claim("live:other", "answer", "x", "one")
        watched.page.wait_for_timeout(600)
        assert len([url for url in watched.requests if "/v1/query" in url]) == queries
        watched.page.click("#live")
        watched.until("it is paused", lambda: watched.page.inner_text("#live-text") == "Paused")
        server.claim(*about, "second", "four")
        watched.page.wait_for_timeout(500)
        assert "four" not in watched.page.inner_text("#bars")
        watched.page.click("#live")
        watched.page.reload()
        watched.settled()
        watched.until("all is there", lambda: "four" in watched.page.inner_text("#bars"))
        assert loads == 1
        watched.is_clean()


def test_a_question_is_taken_along_as_curl_as_rust_and_as_a_receipt(browser, servers):
    server = servers["open"]
    more = f"&as_of=3&max_class=4&tolerance=0.1%25&decay=true&without={quote('source:' + IEC, safe='')}"
    with page(browser, server) as watched:
        watched.ask(*FLASH, "authority", more)
        shown = watched.value()
        watched.page.click("#copy-curl")
        watched.until("it is copied", lambda: watched.page.inner_text("#copy-curl") == "Copied")
        line = watched.page.evaluate("navigator.clipboard.readText()")
        ran = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True, timeout=20)
        reply = json.loads(ran.stdout)
        assert str(reply["value"]) == shown and reply["lsn"] == 3 and reply["without"] == [f"source:{IEC}"]
        watched.page.click("#copy-rust")
        watched.until("it is copied", lambda: watched.page.inner_text("#copy-rust") == "Copied")
        program = watched.page.evaluate("navigator.clipboard.readText()")
        # That file is compiled with the crate's tests.
        assert program == (Path(__file__).parent / "copied.rs").read_text()
        with watched.page.expect_download() as download:
            watched.page.click("#receipt")
        file = server.folder / "receipt.json"
        download.value.save_as(file)
        checked = subprocess.run([server.program, "verify-receipt", file], capture_output=True, text=True, check=False, timeout=20)
        assert checked.returncode == 0, checked.stdout + checked.stderr
        assert json.loads(file.read_text())["answer"]["value"] == reply["value"]
        watched.is_clean()


def test_an_address_is_a_whole_question_and_the_way_back_works(browser, servers):
    with page(browser, servers["open"]) as watched:
        watched.ask(*FLASH, "layered", f"&as_of=2&max_class=2&without={quote('source:' + IEC, safe='')}")
        assert watched.page.is_checked("#lens-layered")
        assert watched.page.input_value("#max_class") == "2"
        assert watched.page.input_value("#moment") == "2"
        assert watched.page.inner_text(".chip >> nth=0").startswith(IEC)
        assert watched.page.title() == "cas:110-62-3 · flash_point_K — StemeDB"
        watched.page.check("#lens-recency", force=True)
        watched.until("another lens", lambda: "lens=recency" in watched.page.url)
        watched.page.go_back()
        watched.until("the lens before", lambda: watched.page.is_checked("#lens-layered"))
        # What an address says wrongly is as if it were not said; what the server refuses is told.
        watched.ask(*FLASH, "nonsense", "&max_class=9&without=nobody&decay=maybe")
        assert watched.page.is_checked("#lens-consensus")
        watched.open("#ask?subject=a&predicate=b&as_of=999999999")
        watched.until("a refusal", lambda: watched.page.is_visible("#trouble"))
        assert "lsn" in watched.page.inner_text("#trouble").lower()
        watched.is_clean(allowed=(r"status of 4\d\d",))


def test_an_answer_of_nobody_and_numbers_as_they_were_written(browser, servers):
    server = servers["open"]
    digits = "0.12345678901234567890123456789"
    with page(browser, server) as watched:
        watched.ask("nobody", "nothing")
        assert watched.value() == "Nothing is claimed"
        # JSON's floats would lose these digits, and whole numbers beyond 2^53.
        body = f'{{"subject":"exact","predicate":"number","object":{digits},"source":"one"}}'
        from urllib.request import Request, urlopen

        urlopen(Request(f"{server.base}/v1/assert", body.encode(), {"content-type": "application/json"})).read()
        server.claim("exact", "number", 9007199254740993, "two")
        watched.ask("exact", "number")
        assert {row["value"] for row in rows(watched)} == {digits, "9007199254740993"}
        watched.is_clean()
