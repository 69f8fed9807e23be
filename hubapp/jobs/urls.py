"""Addresses of the room."""

from django.urls import path

from hubapp.jobs import schedule_views, upload_views, views
from hubapp.ui.pages import page_paths

app_name = "jobs"
urlpatterns = [
    *page_paths("jobs/", views.job_list, name="job_list"),
    path("jobs/submit", views.job_submit, name="job_submit"),
    path("jobs/models/", views.model_choices, name="model_choices"),
    *page_paths("jobs/<uuid:pk>/", views.job_detail, name="job_detail"),
    path("jobs/<uuid:pk>/status/", views.job_status, name="job_status"),
    path("jobs/<uuid:pk>/cancel/", views.job_cancel, name="job_cancel"),
    path("jobs/<uuid:pk>/again/", views.job_again, name="job_again"),
    *page_paths("datasets/new/", upload_views.dataset_new, name="dataset_new"),
    *page_paths("uploads/<uuid:pk>/", upload_views.upload_page, name="upload_detail"),
    *page_paths("schedules/", schedule_views.schedule_list, name="schedule_list"),
    path("schedules/new/", schedule_views.schedule_new, name="schedule_new"),
    path("schedules/preview/", schedule_views.schedule_preview, name="schedule_preview"),
    *page_paths("schedules/<int:pk>/", schedule_views.schedule_detail, name="schedule_detail"),
    path("schedules/<int:pk>/edit/", schedule_views.schedule_edit, name="schedule_edit"),
    path("schedules/<int:pk>/pause/", schedule_views.schedule_pause, name="schedule_pause"),
    path("schedules/<int:pk>/run/", schedule_views.schedule_run, name="schedule_run"),
    path("schedules/<int:pk>/delete/", schedule_views.schedule_delete, name="schedule_delete"),
]
