"""Every address of the site, room by room."""

from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.urls import include, path

from hubapp.execution import health

urlpatterns = [
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("", include("hubapp.insights.urls")),
    path("", include("hubapp.catalog.urls")),
    path("", include("hubapp.jobs.urls")),
    path("", include("hubapp.results.urls")),
    path("", include("hubapp.filterdb.urls")),
    path("", include("hubapp.weights.urls")),
    path("", include("hubapp.pairs.urls")),
    path("", include("hubapp.fewshot.urls")),
    path("", include("hubapp.bring.urls")),
    path("", include("hubapp.ui.urls")),
    path("api/", include("hubapp.api.urls")),
    path("accounts/login/", LoginView.as_view(redirect_authenticated_user=True), name="login"),
    path("accounts/logout/", LogoutView.as_view(), name="logout"),
    path("admin/", admin.site.urls),
]
