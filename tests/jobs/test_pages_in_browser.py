"""Job and schedule pages in Chromium: the fragment polls until the job ends, Cancel asks first, the preview follows."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from hubapp.jobs.models import Job
from hubapp.jobs.services import job_claim, job_fail, job_heartbeat

pytestmark = pytest.mark.browser


def make_job(title: str) -> Job:
    """A job in a queue that no worker serves: this test plays the worker."""
    return Job.objects.create(kind="features", title=title, digest=title, queue="none", published_at=timezone.now())


@pytest.mark.timeout(120)
def test_a_job_is_watched_and_cancelled_and_a_schedule_previewed(live_hubscope: Any, browser: Any, alice: Any) -> None:
    page = browser.new_page()
    noise: list[str] = []
    page.on("console", lambda message: noise.append(message.text) if message.type in {"error", "warning"} else None)
    page.on("pageerror", lambda error: noise.append(str(error)))
    page.goto(f"{live_hubscope.url}/accounts/login/")
    page.fill("[name=username]", "alice")
    page.fill("[name=password]", "alice-password")
    page.click("main button[type=submit]")

    watched = make_job("Watched")
    page.goto(f"{live_hubscope.url}{watched.get_absolute_url()}")
    page.wait_for_selector("text=Number 1 of 1 in the queue")
    claim = job_claim(watched.pk, worker="this test")
    assert claim is not None
    job_heartbeat(watched.pk, token=claim.token, done=3, total=10, note="rows")
    page.wait_for_selector("text=3 of 10 · rows")
    assert page.locator("#job-actions").inner_text() == "Cancel"
    job_fail(watched.pk, token=claim.token, kind="user", message="It has one class. Choose another.")
    page.wait_for_selector("text=It has one class. Choose another.")
    page.wait_for_selector("#job-actions >> text=Run again")
    assert page.locator("#job-status").get_attribute("hx-get") is None

    unwanted = make_job("Unwanted")
    page.goto(f"{live_hubscope.url}{unwanted.get_absolute_url()}")
    page.click("#job-actions button")
    page.wait_for_timeout(2500)  # the fragment is swapped behind the open dialog
    page.click("dialog [data-confirm-yes]")
    page.wait_for_selector("text=Cancelled by alice before it began.")
    unwanted.refresh_from_db()
    assert unwanted.status == "cancelled"

    page.goto(f"{live_hubscope.url}/schedules/new/")
    page.fill("#id_cron", "0 6 * * MON")
    page.wait_for_selector("text=/Mon .* 06:00 UTC/")
    page.fill("#id_cron", "each Monday")
    page.wait_for_selector("text=does not have five fields")

    page.goto(f"{live_hubscope.url}/jobs/submit")
    page.select_option("#id_kind", "fewshot")
    page.wait_for_selector("[name=p-shots]", state="attached")
    assert noise == []
    page.close()
