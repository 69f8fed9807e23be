"""Addresses of the room."""

from django.urls import URLPattern, re_path

from hubapp.catalog import views
from hubapp.ui.pages import page_paths

app_name = "catalog"
ACTION = r"(?P<slug>[-\w]+)/(?P<action>archive|restore|delete)/$"
urlpatterns: list[URLPattern] = [
    *page_paths("models/", views.model_list_page, name="model_list"),
    *page_paths("models/<slug:slug>/", views.model_page, name="model_detail"),
    re_path(rf"^models/{ACTION}", views.model_change, name="model_change"),
    *page_paths("datasets/", views.dataset_list_page, name="dataset_list"),
    *page_paths("datasets/<slug:slug>/", views.dataset_page, name="dataset_detail"),
    re_path(rf"^datasets/{ACTION}", views.dataset_change, name="dataset_change"),
    *page_paths("sources/", views.source_list_page, name="source_list"),
]
