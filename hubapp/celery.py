"""The Celery application: one thin task, three queues, no result backend. The rows in the database are the jobs."""

from __future__ import annotations

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "hubapp.settings")

app = Celery("hubapp", include=["hubapp.execution.tasks"])
app.config_from_object("django.conf:settings", namespace="CELERY")
