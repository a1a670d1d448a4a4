"""The console in a real browser, against real servers: `cargo xtask console`.

    run.py PROGRAM [--only WORD] [--shots FOLDER] [--assets FOLDER]

Each function whose name begins with `test_` is one test; its name is what it shows.
"""

import argparse
import sys
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from playwright.sync_api import sync_playwright  # noqa: E402

import access  # noqa: E402
import asking  # noqa: E402
import browser as browser_pages  # noqa: E402
import hostile  # noqa: E402
import looking_after  # noqa: E402
import shots  # noqa: E402
from server import Server, chromium  # noqa: E402


def main() -> int:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("program")
    arguments.add_argument("--only", default="")
    arguments.add_argument("--shots")
    arguments.add_argument("--assets", help="a folder whose files stand in for those within the program")
    given = arguments.parse_args()
    if given.assets:
        browser_pages.ASSETS = Path(given.assets)
    began = time.monotonic()
    modules = [access, asking, looking_after, hostile]
    tests = [(name, act) for module in modules for name, act in vars(module).items() if name.startswith("test_") and given.only in name]
    if given.assets:
        # Sizes, tags and compression are the program's.
        tests = [(name, act) for name, act in tests if act not in access.OF_THE_PROGRAM]
    if not tests:
        print(f"no test has {given.only!r} in its name")
        return 1
    failed = []
    with sync_playwright() as playwright:
        # As root there is no sandbox of its own; what is loaded is this repository's.
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox", "--disable-gpu"])
        sample = Path(__file__).parents[4] / "examples/data/chemistry-sample.jsonl"
        servers = {"open": Server(given.program), "closed": Server(given.program, keys=True)}
        try:
            if given.shots:
                rich = Server(given.program, claims=sample)
                servers["rich"] = rich
                shots.take(browser, rich, Path(given.shots))
                return 0
            for name, act in tests:
                start = time.monotonic()
                try:
                    act(browser, servers)
                    print(f"ok    {name} ({time.monotonic() - start:.1f} s)", flush=True)
                except Exception:  # one test's failure is not the others'
                    failed.append(name)
                    print(f"FAIL  {name}\n{traceback.format_exc()}", flush=True)
        finally:
            browser.close()
            for server in servers.values():
                server.stop()
    print(f"{len(tests) - len(failed)} of {len(tests)} passed in {time.monotonic() - began:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
