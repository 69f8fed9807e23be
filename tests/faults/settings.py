"""The settings of workers under test: the site's own, with the sample analyses and a quicker restore of messages."""

from hubapp.settings import *  # noqa: F403
from hubapp.settings import CELERY_BROKER_TRANSPORT_OPTIONS as OPTIONS

CELERY_IMPORTS = ("tests.faults.samples",)
CELERY_BROKER_TRANSPORT_OPTIONS = {**OPTIONS, "unacked_restore_interval": 2}
