"""The Hubscope site: what people and programs talk to, and how jobs are run."""

from hubapp.celery import app as celery_app

__all__ = ["celery_app"]
