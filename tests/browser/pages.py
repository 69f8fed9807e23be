"""A visitor with Chromium who writes down everything that goes wrong, and what every page has to satisfy."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, ConsoleMessage, Page, Request, Response, expect
from playwright.sync_api import TimeoutError as NotInTimeError

AXE = Path(__file__).resolve().parents[2] / "node_modules/axe-core/axe.min.js"
PHONE = {"width": 360, "height": 740}
DESK = {"width": 1280, "height": 900}
THEMES = ("light", "dark")
# Serious and critical findings of axe; each is a rule, the element and what to do.
FINDINGS = """async () => {
  const found = await axe.run(document, { resultTypes: ["violations"] });
  return found.violations
    .filter((one) => one.impact === "serious" || one.impact === "critical")
    .flatMap((one) => one.nodes.map((node) => `${one.id} at ${node.target.join(" ")}: ${node.failureSummary}`));
}"""
FITS_A_PHONE = f"() => document.documentElement.scrollWidth <= {PHONE['width'] + 1}"
# The elements that stick out on the right, for the message of a failing test.
STICKING_OUT = """() => {
  const width = document.documentElement.clientWidth;
  const inside = (element) => {
    for (let at = element.parentElement; at; at = at.parentElement) {
      if (getComputedStyle(at).overflowX !== "visible" && at !== document.body) return true;
    }
    return false;
  };
  return [...document.body.querySelectorAll("*")]
    .filter((element) => element.getBoundingClientRect().right > width + 1 && !inside(element))
    .map((element) => `${element.tagName.toLowerCase()}.${element.getAttribute("class")}`).slice(0, 8);
}"""
SETTLED = """() => {
  const isDrawing = document.querySelector("figure[data-chart]:not([data-is-ready]) .hs-plot:not(.is-failed)");
  const panels = [...document.querySelectorAll("[hx-trigger=load]")];
  return !isDrawing && !panels.some((panel) => panel.textContent.includes("Loading …"));
}"""


class Visitor:
    """One browser window on the running site; `troubles` holds console errors, script errors and failed requests."""

    def __init__(self, page: Page, *, url: str) -> None:
        self.page = page
        self.url = url
        self.troubles: list[str] = []
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.troubles.append(f"script error on {page.url}: {error}"))
        page.on("requestfailed", self._failed)
        page.on("response", self._answered)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.troubles.append(f"console {message.type} on {self.page.url}: {message.text}")

    def _failed(self, request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":  # a page that is left takes its open requests with it
            self.troubles.append(f"{request.method} {request.url} failed: {request.failure}")

    def _answered(self, response: Response) -> None:
        if response.status >= 400:
            self.troubles.append(f"{response.request.method} {response.url} answered {response.status}")
        if not response.url.startswith((self.url, "data:", "blob:")):
            self.troubles.append(f"a request to another host: {response.url}")

    def open(self, path: str) -> None:
        """Open a page and wait until its panels and charts are there."""
        self.page.goto(f"{self.url}{path}")
        self.settle()

    def settle(self) -> None:
        """Wait until the panels are loaded and the charts drawn."""
        self.page.wait_for_load_state("load")
        self.page.wait_for_function(SETTLED)

    def check(self) -> None:
        """What every page has to satisfy: nothing failed, nothing sticks out on a phone, readable in both themes."""
        assert not self.troubles, "\n".join(self.troubles)
        where = self.page.url
        expect(self.page.locator("h1"), f"{where} has one heading").to_have_count(1)
        for theme in THEMES:
            self.theme(theme)
            found = self.findings()
            assert not found, f"{where} in the {theme} theme: " + "\n".join(found)
        self.page.set_viewport_size(PHONE)  # type: ignore[arg-type]
        try:
            self.page.wait_for_function(FITS_A_PHONE, timeout=5_000)  # charts follow the window a moment later
        except NotInTimeError:
            raise AssertionError(f"{where} sticks out of a phone: {self.page.evaluate(STICKING_OUT)}") from None
        self.theme("light")
        found = self.findings()
        assert not found, f"{where} on a phone: " + "\n".join(found)
        self.page.set_viewport_size(DESK)  # type: ignore[arg-type]

    def theme(self, name: str) -> None:
        """Ask for a theme as the system does, and wait until colours have changed."""
        self.page.emulate_media(color_scheme=name, reduced_motion="reduce")  # type: ignore[arg-type]
        expect(self.page.locator("html")).to_have_attribute("data-bs-theme", name)
        self.page.wait_for_function("() => document.getAnimations().every((one) => one.playState !== 'running')")

    def findings(self) -> list[str]:
        """What axe finds serious or critical."""
        if not self.page.evaluate("() => 'axe' in window"):
            self.page.evaluate(f"() => {{ {AXE.read_text()} }}")
        found: list[str] = self.page.evaluate(FINDINGS)
        return found

    def sign_in(self, name: str) -> None:
        """Fill in the form that is shown; the password is the one of `tests.conftest.person`."""
        self.page.get_by_label("Username").fill(name)
        self.page.get_by_label("Password").fill(f"{name}-password")
        self.page.get_by_role("button", name="Sign in", exact=True).click()
        expect(self.page.get_by_role("button", name=re.compile("Sign out"))).to_be_attached()
        self.settle()


@contextmanager
def visit(browser: Browser, *, url: str) -> Iterator[Visitor]:
    """A new window without cookies, at desk size in the light theme."""
    context = browser.new_context(viewport=DESK, color_scheme="light", reduced_motion="reduce")  # type: ignore[arg-type]
    context.set_default_timeout(30_000)
    try:
        yield Visitor(context.new_page(), url=url)
    finally:
        context.close()
