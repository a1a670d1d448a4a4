"""The storage's health, and a server that goes away."""

from browser import page

PANELS = ("Checks", "Views", "Journal", "Fsync latency", "Operations", "Disk", "Tables", "Memory of the view", "Reading files back", "Events", "Slow questions")


def test_the_storage_is_shown_as_the_server_tells_it(browser, servers):
    server = servers["open"]
    for number in range(20):
        server.claim("storage", f"p{number}", number, "s")
    with page(browser, server) as watched:
        watched.ask("cas:110-62-3", "flash_point_K")
        watched.open("#storage")
        for panel in PANELS:
            watched.page.wait_for_selector(f"section[aria-label='{panel}']")
        text = lambda panel: watched.page.inner_text(f"section[aria-label='{panel}']")  # noqa: E731
        stats = server.get("/v1/admin/storage/stats")
        assert watched.page.inner_text("section[aria-label=Checks] .big") == stats["verdict"]
        for check in stats["checks"]:
            assert check["verdict"] in text("Checks")
        assert watched.page.locator("section[aria-label=Checks] tbody tr").count() == len(stats["checks"])
        assert f"LSN {stats['journal']['durable_lsn']}" in text("Journal").replace(",", "")
        assert "healthy" in text("Views") and "fallback reads" in text("Views")
        assert "p99" in text("Fsync latency") and "syncs" in text("Fsync latency")
        assert watched.page.locator(".histogram-bar").count() >= 1
        assert "scrub" in text("Events") or "space" in text("Events") or "Nothing has happened" in text("Events")
        assert "cas:110-62-3" in text("Slow questions") and "consensus" in text("Slow questions")
        watched.page.click("section[aria-label='Slow questions'] a >> nth=0")
        watched.settled()
        watched.is_clean()


def test_figures_are_read_again_by_themselves(browser, servers):
    server = servers["open"]
    with page(browser, server) as watched:
        # The page's clock goes faster; the server's does not.
        watched.page.clock.install()
        watched.open("#storage")
        watched.page.wait_for_selector("section[aria-label=Journal]")
        lsn = server.claim("storage", "again", "x", "s")["lsn"]
        watched.page.clock.fast_forward(5100)
        watched.until("the journal grew", lambda: f"LSN {lsn}" in watched.page.inner_text("section[aria-label=Journal]").replace(",", ""))
        assert "puts" in watched.page.inner_text("section[aria-label=Operations]")
        watched.is_clean()


def test_a_server_that_does_not_answer_is_told_and_found_again(browser, servers):
    server = servers["open"]
    with page(browser, server) as watched:
        watched.ask("cas:110-62-3", "flash_point_K")
        watched.page.context.set_offline(True)
        watched.page.check("#lens-authority", force=True)
        watched.until("it is told", lambda: "does not answer" in watched.page.inner_text("#trouble"))
        watched.page.context.set_offline(False)
        watched.page.check("#lens-recency", force=True)
        watched.until("an answer", lambda: watched.value() == "285.37222" and not watched.page.is_visible("#trouble"))
        watched.is_clean(allowed=(r"ERR_INTERNET_DISCONNECTED",))
