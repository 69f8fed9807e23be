"""Addresses of the room."""

from django.urls import path

from hubapp.ui.components import component_chart, components
from hubapp.ui.pages import page_paths

app_name = "ui"
urlpatterns = [
    *page_paths("components/", components, name="components"),
    path("components/charts/<str:name>.json", component_chart, name="component_chart"),
]
