"""Addresses of the room."""

from django.urls import path

from hubapp.insights import views
from hubapp.ui.pages import page_paths

app_name = "insights"
urlpatterns = [
    *page_paths("", views.front, name="front"),
    *page_paths("insights/", views.hub, name="hub"),
    path("insights/charts/<slug:name>.json", views.hub_chart, name="hub_chart"),
    path("running/", views.running, name="running"),
    path("running/count/", views.running_count, name="running_count"),
]
