"""Whoever comes, with whatever: loading, keyboards, readers of screens, small and dark screens, keys."""

from urllib.request import Request, urlopen

from axe_playwright_python.sync_playwright import Axe

from browser import page

FLASH = ("cas:110-62-3", "flash_point_K")
VIEWS = ("", "#ask?subject=cas%3A110-62-3&predicate=flash_point_K&lens=authority&without=source%3AWIKIDATA", "#contested", "#storage")


def test_everything_comes_from_the_server_under_a_strict_policy_and_is_small(browser, servers):
    server = servers["open"]
    with page(browser, server) as watched:
        sizes = {}
        watched.page.on("response", lambda reply: sizes.update({reply.url: int(reply.headers.get("content-length", 0))}))
        for hash_ in VIEWS:
            watched.open(hash_)
            watched.page.wait_for_timeout(300)
        watched.is_clean()
        files = {url: size for url, size in sizes.items() if "/console/" in url or url == f"{server.base}/"}
        assert len(files) >= 20, files
        assert 10_000 < sum(files.values()) < 64_000, sum(files.values())
        policy = urlopen(f"{server.base}/").headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy, policy
        # The policy is what stops a script, not our good manners.
        blocked = watched.page.evaluate("(() => { try { document.createElement('div').innerHTML = '<b>x</b>'; return false } catch { return true } })()")
        assert blocked, "text can become markup"


def test_a_page_that_is_known_is_not_sent_again(browser, servers):
    server = servers["open"]
    first = urlopen(Request(f"{server.base}/console/main.js", headers={"accept-encoding": "gzip"}))
    tag = first.headers["etag"]
    with page(browser, server) as watched:
        watched.open()
        statuses = []
        cdp = watched.page.context.new_cdp_session(watched.page)
        cdp.send("Network.enable")
        cdp.on("Network.responseReceivedExtraInfo", lambda event: statuses.append((event["statusCode"], event["headers"].get("etag"))))
        watched.page.reload()
        watched.until("a module is asked about", lambda: (304, tag) in statuses)


def test_every_control_has_a_name_and_contrast_is_enough_in_light_and_dark(browser, servers):
    axe = Axe()
    for scheme in ("light", "dark"):
        # The checker is injected, which the page's own policy would not let it be.
        with page(browser, servers["open"], color_scheme=scheme, bypass_csp=True, reduced_motion="reduce") as watched:
            for hash_ in VIEWS:
                watched.open(hash_)
                if "subject" in hash_:
                    watched.settled()
                watched.page.wait_for_timeout(600)
                found = axe.run(watched.page).response["violations"]
                told = [(one["id"], [(node["target"], node.get("failureSummary")) for node in one["nodes"][:3]]) for one in found]
                assert told == [], f"{scheme} {hash_}: {told}"


def test_a_question_is_asked_with_the_keyboard_alone(browser, servers):
    with page(browser, servers["open"]) as watched:
        watched.open()
        keys = watched.page.keyboard
        order = []

        def focused():
            return watched.page.evaluate("document.activeElement.id || document.activeElement.textContent.trim()")

        for _ in range(10):
            keys.press("Tab")
            order.append(focused())
            if order[-1] == "subject":
                break
        assert order == ["skip", "StemeDB", "Ask", "Contested", "Storage", "live", "key", "subject"], order
        keys.type("cas:110", delay=5)
        watched.page.wait_for_selector("#subjects [role=option]")
        assert watched.page.get_attribute("#subject", "aria-expanded") == "true"
        keys.press("ArrowDown")
        active = watched.page.get_attribute("#subject", "aria-activedescendant")
        assert watched.page.inner_text(f"#{active} .said") == "cas:110-62-3"
        keys.press("Enter")
        watched.until("the predicate has the focus", lambda: focused() == "predicate")
        keys.type("flash", delay=5)
        watched.page.wait_for_selector("#predicates [role=option]")
        keys.press("ArrowDown")
        keys.press("Enter")
        watched.settled()
        assert watched.value() == "283.20184033897"
        watched.until("what the answer is, is said", lambda: "283.20184033897: contested" in watched.page.inner_text("#announcement"))
        # On to the lenses, and through them with arrows: the focus stays.
        for _ in range(4):
            keys.press("Tab")
            if focused().startswith("lens-"):
                break
        assert focused() == "lens-consensus"
        for lens in ("recency", "confidence", "authority"):
            keys.press("ArrowRight")
            watched.until(f"{lens} is asked", lambda: f"lens={lens}" in watched.page.url and focused() == f"lens-{lens}")
            watched.settled()
        watched.until("authority answers", lambda: watched.value() == "279.15")
        outline = watched.page.evaluate("getComputedStyle(document.activeElement.closest('.lens')).outlineStyle")
        assert outline == "solid", "where the focus is can be seen"
        # Leave a source out, and bring it back.
        for _ in range(20):
            keys.press("Tab")
            if watched.page.evaluate("document.activeElement.dataset.without") == "source:IEC 60079-20-1 (2010)":
                break
        keys.press("Enter")
        watched.until("another answer", lambda: watched.value() == "553.15")
        named = "document.activeElement.getAttribute('aria-label')"
        watched.until("the way back has the focus", lambda: watched.page.evaluate(named) == "Bring back IEC 60079-20-1 (2010)")
        keys.press("Enter")
        watched.until("the answer before", lambda: watched.value() == "279.15")
        watched.until("the focus is back", lambda: watched.page.evaluate(named) == "Leave out IEC 60079-20-1 (2010)")
        # A dialog closes with Escape and gives the focus back.
        watched.page.focus("#key")
        keys.press("Enter")
        watched.until("the key is asked for", lambda: focused() == "key-text")
        keys.press("Escape")
        watched.until("the dialog is gone", lambda: focused() == "key")
        watched.page.focus("#skip")
        keys.press("Enter")
        assert focused() == "main" and "subject=" in watched.page.url
        watched.is_clean()


def test_nothing_is_wider_than_a_small_screen_and_motion_can_be_off(browser, servers):
    with page(browser, servers["open"], width=340, height=700, reduced_motion="reduce") as watched:
        for hash_ in VIEWS:
            watched.open(hash_)
            watched.page.wait_for_timeout(500)
            wide = watched.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert wide <= 0, f"{hash_} is {wide} px too wide"
        watched.ask(*FLASH)
        moving = watched.page.evaluate("[...document.querySelectorAll('*')].filter((one) => parseFloat(getComputedStyle(one).transitionDuration) > 0 || getComputedStyle(one).animationName !== 'none').length")
        assert moving == 0, moving
        watched.is_clean()


def test_a_server_with_keys_asks_for_one_and_it_is_kept_nowhere(browser, servers):
    server = servers["closed"]
    refused = (r"status of 401",)
    with page(browser, server) as watched:
        watched.open("#ask?subject=cas%3A110-62-3&predicate=flash_point_K&lens=authority")
        watched.page.wait_for_selector("#key-dialog[open]")
        assert watched.page.is_visible("#trouble") and "key_required" in watched.page.inner_text("#trouble")
        watched.page.fill("#key-text", "stemedb_wrong")
        watched.page.keyboard.press("Enter")
        watched.page.wait_for_selector("#key-dialog[open]")
        key = server.keys["read"]
        watched.page.fill("#key-text", key)
        watched.page.click("#key-form [value=use]")
        watched.settled()
        assert watched.value() == "279.15"
        assert watched.page.inner_text("#key") == "Key in use"
        watched.until("the feed goes on with the key", lambda: watched.page.inner_text("#live-text") == "Live")
        curl = watched.page.inner_text("#copy-curl-text")
        assert "$STEMEDB_API_KEY" in curl and key not in curl
        kept = watched.page.evaluate("JSON.stringify([localStorage, sessionStorage, document.cookie, location.href, history.state, document.body.innerHTML, document.getElementById('key-text').value])")
        assert key not in kept
        assert not any(key in url for url in watched.requests)
        # Only reading was given: on this machine the storage is shown all the same, without the key.
        watched.page.click("nav [data-view=storage]")
        watched.page.wait_for_selector("section[aria-label=Checks]")
        watched.page.reload()
        watched.page.wait_for_selector("section[aria-label=Checks]")
        watched.page.click("nav [data-view=contested]")
        watched.page.wait_for_selector("#key-dialog[open]")
        watched.is_clean(allowed=(*refused, r"status of 403"))


OF_THE_PROGRAM = (test_everything_comes_from_the_server_under_a_strict_policy_and_is_small, test_a_page_that_is_known_is_not_sent_again)
