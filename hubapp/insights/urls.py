"""Addresses of the room."""

from django.urls import path

from hubapp.insights import views
from hubapp.ui.pages import page_paths

app_name = "insights"
urlpatterns = [
    *page_paths("", views.front, name="front"),
    path("running/", views.running, name="running"),
    path("running/count/", views.running_count, name="running_count"),
]
