"""The embedded PostgreSQL and Redis."""

from __future__ import annotations

import pytest


@pytest.mark.django_db
def test_the_tests_run_on_the_embedded_postgresql() -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('server_version_num')::int, current_setting('listen_addresses')")
        version, addresses = cursor.fetchone()
    assert version >= 150000
    assert addresses == ""
