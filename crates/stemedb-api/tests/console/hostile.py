"""Claims are written by anybody: whatever they say is text."""

from browser import page

MARKUP = "<img src=x onerror=window.__xss=1><script>window.__xss=2</script><svg onload=window.__xss=3>"
BREAKOUT = "\"'><a href=javascript:window.__xss=4 autofocus onfocus=window.__xss=5>x</a>"
OVERRIDE = "safe\u202egnp.exe\u202c\u2066\u200bhidden"
LONG = "Donaudampfschifffahrtsgesellschaft" * 700
EMOJI = "👩‍🔬 measured 🌡️ 100 °C — 沸点 — درجة الغليان"
TEMPLATE = "${window.__xss=6} {{constructor.constructor('window.__xss=7')()}} </title></style></script>"


def seed(server):
    subject, predicate = f"subject {MARKUP}", f"predicate {BREAKOUT}"
    values = [MARKUP, BREAKOUT, OVERRIDE, LONG, EMOJI, TEMPLATE, {"type": "reference", "value": MARKUP}, {"<b>key</b>": [MARKUP, None, True]}]
    ids = []
    for number, value in enumerate(values):
        ids.append(server.claim(subject, predicate, value, f"source {number} {MARKUP if number % 2 else OVERRIDE}")["id"])
    server.post("/v1/vote", {"assertion": ids[0], "agent": "cd" * 32, "weight": 0.5, "reason": MARKUP})
    server.post("/v1/source", {"id": f"source 1 {MARKUP}", "class": 2, "title": MARKUP, "uri": "javascript:window.__xss=8"})
    server.claim(subject, "name", MARKUP, MARKUP)
    server.claim(f"subject {MARKUP} too", OVERRIDE, LONG, LONG[:500])
    for source in ("a", "b"):
        server.claim(OVERRIDE, MARKUP, source, source)
    return subject, predicate


def is_text_only(watched):
    page_ = watched.page
    page_.wait_for_timeout(200)
    assert page_.evaluate("window.__xss") is None
    assert page_.evaluate("document.images.length") == 0
    assert page_.evaluate("document.scripts.length") == 1
    attributes = page_.evaluate("[...document.querySelectorAll('*')].flatMap((one) => one.getAttributeNames()).filter((name) => name.startsWith('on'))")
    assert attributes == [], attributes
    links = page_.evaluate("[...document.links].map((one) => one.protocol)")
    assert all(one in ("http:",) for one in links), links
    wide = page_.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0, f"{wide} px too wide"


def test_hostile_claims_are_shown_as_what_they_are_in_every_view_and_lens(browser, servers):
    server = servers["open"]
    subject, predicate = seed(server)
    for width in (1280, 360):
        with page(browser, server, width=width) as watched:
            for lens in ("consensus", "layered", "recency", "skeptic"):
                watched.ask(subject, predicate, lens)
                is_text_only(watched)
            shown = watched.page.inner_text("#bars")
            for text in (MARKUP, BREAKOUT, TEMPLATE, EMOJI):
                assert text in shown, text
            # What cannot be seen can be seen, and what turns the text around does not reach beyond its place.
            unseen = watched.page.eval_on_selector_all("#bars .unseen", "(all) => all.map((one) => one.textContent)")
            assert {"202E", "202C", "2066", "200B"} <= set(unseen), unseen
            raw = watched.page.evaluate("/[\\u202a-\\u202e\\u2066-\\u2069\\u200b]/.test(document.body.innerText)")
            assert not raw
            assert watched.page.evaluate("[...document.querySelectorAll('.said')].every((one) => one.tagName === 'BDI')")
            # A long value is cut, and whole for whoever wants it.
            assert LONG not in shown
            watched.page.click("details.long > summary >> nth=0")
            watched.until("all of it", lambda: watched.page.evaluate("[...document.querySelectorAll('.whole')].some((one) => one.textContent.length > 20000)"))
            is_text_only(watched)
            # Left out, tried, compared, copied: the same words on other ways.
            watched.page.click("[data-without] >> nth=0")
            watched.until("the source is left out", lambda: "without=" in watched.page.url)
            watched.settled()
            is_text_only(watched)
            watched.page.click("#difference button")
            watched.until("a difference", lambda: watched.page.inner_text("#changes") != "")
            is_text_only(watched)
            for view in ("#contested", "#storage", ""):
                watched.open(view)
                watched.page.wait_for_timeout(400)
                is_text_only(watched)
            watched.is_clean()


def test_hostile_suggestions_and_addresses_are_text(browser, servers):
    server = servers["open"]
    with page(browser, server) as watched:
        watched.open()
        watched.page.click("#subject")
        watched.page.keyboard.type("subject <", delay=2)
        watched.page.wait_for_selector("#subjects [role=option]")
        is_text_only(watched)
        assert MARKUP in watched.page.inner_text("#subjects")
        watched.page.keyboard.press("ArrowDown")
        watched.page.keyboard.press("Enter")
        watched.page.wait_for_selector("#predicate:focus")
        watched.page.keyboard.press("ArrowDown")
        watched.page.wait_for_selector("#predicates [role=option]")
        is_text_only(watched)
        for hash_ in (
            "#ask?subject=%3Cimg%20src%3Dx%20onerror%3Dwindow.__xss%3D1%3E&predicate=%3Csvg/onload=window.__xss=2%3E&without=source:%3Cb%3E",
            "#javascript:window.__xss=1",
            "#ask?subject=%E0%A4%A&predicate=%00%FF&as_of=%3Cscript%3E",
            "#__proto__?subject=constructor&predicate=toString&lens=__proto__",
            "#ask?subject=a&predicate=b&epoch=%3Cimg%3E&tolerance=%22%3E%3Cimg%3E",
        ):
            watched.open(hash_)
            watched.page.wait_for_timeout(300)
            is_text_only(watched)
        watched.is_clean(allowed=(r"status of 4\d\d",))


def test_what_is_copied_is_one_harmless_line_whatever_the_question_says(browser, servers):
    server = servers["open"]
    import json
    import subprocess

    nasty = "x'; touch PWNED; echo ' $(touch PWNED) `touch PWNED` \\ \" \u202e \u2028"
    server.claim(nasty, nasty, "v", "s")
    with page(browser, server) as watched:
        watched.ask(nasty, nasty)
        watched.page.click("#copy-curl")
        watched.until("it is copied", lambda: watched.page.inner_text("#copy-curl") == "Copied")
        line = watched.page.evaluate("navigator.clipboard.readText()")
        assert "\n" not in line
        ran = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True, cwd=server.folder, timeout=20)
        assert json.loads(ran.stdout)["subject"] == nasty
        assert not (server.folder / "PWNED").exists()
        rust = watched.page.inner_text("#copy-rust-text")
        assert "\\u{202e}" in rust and "\u202e" not in rust and "\\u{2028}" in rust and '\\"' in rust
        watched.is_clean()
