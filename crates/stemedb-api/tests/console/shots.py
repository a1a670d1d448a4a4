"""Pictures of the console, for people to look at (and for the documentation)."""

from browser import page

FLASH = ("cas:110-62-3", "flash_point_K")


def take(browser, server, folder):
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(60):
        server.claim("the:sky", "colour", ["blue", "grey", "black"][number % 3], f"watcher {number}")

    def shot(name, act, **options):
        with page(browser, server, **options) as watched:
            act(watched)
            watched.page.wait_for_timeout(700)
            watched.page.screenshot(path=folder / f"{name}.png", full_page=True)
            watched.is_clean()

    without = "&without=source%3AIEC%2060079-20-1%20(2010)"
    shot("welcome", lambda on: on.open())
    shot("ask-light", lambda on: on.ask(*FLASH, "authority"))
    shot("ask-dark", lambda on: on.ask("cas:75-71-8", "formation_enthalpy_gas_J_mol", "consensus"), color_scheme="dark")
    shot("what-if", lambda on: on.ask(*FLASH, "authority", without))
    shot("layered", lambda on: on.ask("cas:85-01-8", "critical_temperature_K", "layered", "&as_of=2"))
    shot("skeptic", lambda on: on.ask("cas:50-00-0", "boiling_point_K", "skeptic"))
    shot("narrow", lambda on: on.ask(*FLASH, "consensus"), width=390, height=844)
    shot("narrow-dark", lambda on: on.open("#contested"), width=390, height=844, color_scheme="dark")
    shot("contested", lambda on: on.open("#contested"))
    shot("storage", lambda on: (on.open("#storage"), on.page.wait_for_timeout(11_000)))
    # These two are in the documentation: one screen each, in few bytes.
    for name, hash_, options in (
        ("docs-ask", "#ask?subject=cas%3A110-62-3&predicate=flash_point_K&lens=authority", {"height": 1180}),
        ("docs-storage", "#storage", {"height": 900, "color_scheme": "dark"}),
    ):
        with page(browser, server, width=1120, **options) as watched:
            watched.open(hash_)
            watched.page.wait_for_timeout(6_000 if "storage" in hash_ else 1_200)
            watched.page.screenshot(path=folder / f"{name}.png")
    shot("storage-dark", lambda on: (on.open("#storage"), on.page.wait_for_timeout(6_000)), color_scheme="dark")
