"""Somebody who uses the running site as a program does: pages, JSON twins, forms."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from http.cookiejar import CookieJar
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, Request, build_opener

FINISHED = ("succeeded", "failed", "cancelled")


class SiteVisitor:
    """Cookies and CSRF tokens as a browser keeps them."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.cookies = CookieJar()
        self._opener = build_opener(HTTPCookieProcessor(self.cookies))

    def get(self, path: str) -> tuple[int, str]:
        """Status and text of a page."""
        return self._answer(Request(f"{self.url}{path}"))

    def json(self, path: str) -> Any:
        """A twin; fails unless it answers 200."""
        status, text = self.get(path)
        assert status == 200, f"{path} answered {status}: {text[:300]}"
        return json.loads(text)

    def post(self, path: str, **fields: str) -> tuple[int, str]:
        """Status and text of the page that a form leads to."""
        token = next((cookie.value for cookie in self.cookies if cookie.name == "csrftoken"), "")
        body = urlencode({**fields, "csrfmiddlewaretoken": token}).encode()
        return self._answer(Request(f"{self.url}{path}", data=body, headers={"Referer": self.url}))

    def sign_in(self, name: str) -> None:
        """Sign in with the password of `tests.conftest.person`."""
        self.get("/accounts/login/")
        status, text = self.post("/accounts/login/", username=name, password=f"{name}-password", next="/")
        assert status == 200, text[:300]
        assert "Sign out" in text

    def submit(self, kind: str, **fields: str) -> tuple[str, str]:
        """Press Run; the job's id and the text of the page that it leads to."""
        status, text = self.post("/jobs/submit", kind=kind, **fields)
        assert status == 200, text[:2000]
        found = re.search(r"/jobs/([0-9a-f-]{36})\.json", text)
        assert found is not None, text[:2000]
        return found[1], text

    def job(self, pk: str) -> Any:
        """The twin of a job's page."""
        return self.json(f"/jobs/{pk}.json")

    def job_ended(self, pk: str, *, seconds: float = 120.0) -> Any:
        """The twin of a job's page once the job has ended."""
        return self.until(lambda: found if (found := self.job(pk))["status"] in FINISHED else None, seconds=seconds)

    def until(self, ask: Callable[[], Any], *, seconds: float = 60.0) -> Any:
        """What `ask` returns once that is true."""
        deadline = time.monotonic() + seconds
        while not (found := ask()):
            assert time.monotonic() < deadline, f"nothing came within {seconds:g} s"
            time.sleep(0.25)
        return found

    def _answer(self, request: Request) -> tuple[int, str]:
        try:
            with self._opener.open(request, timeout=30) as answer:
                return answer.status, answer.read().decode()
        except HTTPError as error:
            return error.code, error.read().decode()
