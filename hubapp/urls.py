"""Every address of the site, room by room."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("", include("hubapp.insights.urls")),
    path("", include("hubapp.catalog.urls")),
    path("", include("hubapp.jobs.urls")),
    path("", include("hubapp.results.urls")),
    path("", include("hubapp.ui.urls")),
    path("accounts/", include("django.contrib.auth.urls")),
    path("admin/", admin.site.urls),
]
