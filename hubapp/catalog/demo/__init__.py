"""The demo content: real models and data sets that come inside packages, by a manifest with digests."""

from hubapp.catalog.demo.content import DemoReport, demo_import

__all__ = ["DemoReport", "demo_import"]
