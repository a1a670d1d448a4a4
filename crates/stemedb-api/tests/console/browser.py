"""Pages that notice everything: what they load, what they complain about, what they are refused."""

import re
import time
from contextlib import contextmanager
from pathlib import Path

# A folder whose files stand in for those within the program: for trying a change without building.
ASSETS: Path | None = None

WATCH = """
window.__violations = [];
document.addEventListener('securitypolicyviolation', (event) => window.__violations.push(`${event.violatedDirective} ${event.blockedURI}`));
"""


class Watched:
    """One page, with what happened on it."""

    def __init__(self, page, base):
        self.page = page
        self.base = base
        self.requests = []
        self.replies = []
        self.problems = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("response", lambda response: self.replies.append((response.url, response.status)))
        page.on("pageerror", lambda error: self.problems.append(f"error: {error}"))
        page.on("console", lambda message: message.type in ("error", "warning") and self.problems.append(f"{message.type}: {message.text}"))
        page.on("dialog", lambda dialog: (self.problems.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.add_init_script(WATCH)

    def open(self, hash_=""):
        self.page.goto(f"{self.base}/{hash_}")
        self.page.wait_for_selector("#position:not(:text-is('–'))")
        return self

    def ask(self, subject, predicate, lens="consensus", more=""):
        """Opens the address of a question and waits for its answer."""
        from urllib.parse import quote

        self.open(f"#ask?subject={quote(subject, safe='')}&predicate={quote(predicate, safe='')}&lens={lens}{more}")
        self.settled()
        return self

    def settled(self):
        """Until the answer and those of the other lenses are there."""
        self.page.wait_for_selector("#asked:not([hidden]):not([aria-busy])", timeout=10_000)

    def value(self):
        return self.page.inner_text("#answer-value")

    def until(self, what, check, seconds=8):
        end = time.monotonic() + seconds
        while True:
            seen = check()
            if seen:
                return seen
            if time.monotonic() > end:
                raise AssertionError(f"{what}, and never came; the page says: {self.page.inner_text('body')[:1500]}")
            self.page.wait_for_timeout(40)

    def is_clean(self, allowed=()):
        """Nothing foreign was asked for, nothing was refused by the policy, nothing was complained about."""
        foreign = [url for url in self.requests if not url.startswith((f"{self.base}/", f"blob:{self.base}/"))]
        assert foreign == [], foreign
        violations = self.page.evaluate("window.__violations")
        assert violations == [], violations
        problems = [problem for problem in self.problems if not any(re.search(one, problem) for one in allowed)]
        assert problems == [], problems


def instead(route):
    """The reply of the server, with the body of a file of the folder."""
    name = route.request.url.split("?")[0].split("/console/")[-1] if "/console/" in route.request.url else "index.html"
    reply = route.fetch()
    headers = {key: value for key, value in reply.headers.items() if key not in ("content-encoding", "content-length", "etag")}
    route.fulfill(status=200, headers=headers, body=(ASSETS / name).read_bytes())


@contextmanager
def page(browser, server, *, width=1280, height=900, **options):
    context = browser.new_context(viewport={"width": width, "height": height}, **options)
    try:
        context.grant_permissions(["clipboard-read", "clipboard-write"], origin=server.base)
        watched = Watched(context.new_page(), server.base)
        if ASSETS:
            watched.page.route(re.compile(re.escape(server.base) + "/(console/.*)?$"), instead)
        yield watched
    finally:
        context.close()
