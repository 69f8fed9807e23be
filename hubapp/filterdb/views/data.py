"""The layers of the filter DB as files: of one model, of all models, and what their columns mean."""

from __future__ import annotations

from typing import Any

from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseNotModified, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.views.decorators.http import require_safe

from hubapp.filterdb.layer_files import LAYERS_FILE, PARQUET, layer_files, layers_stream
from hubapp.results.reports import model_shown
from hubapp.ui.pages import json_response
from workers.sources.layer_table import (
    FILTER_SCHEMA_VERSION,
    LAYER_COLUMNS,
    LAYER_SCHEMA_VERSION,
    filter_columns_of,
    schema_document,
)


@require_safe
def model_layers(request: HttpRequest, slug: str) -> HttpResponseBase:
    """The convolution layers of one model with their statistics, as its newest analysis wrote them."""
    model = model_shown(request, slug)
    found = layer_files(request.user, model=model.slug)
    if not found or not found[0].path.is_file():
        raise Http404(f"The filters of {model.title} were not analysed yet. Run the analysis “Filter DB” on it.")
    etag = f'"{found[0].digest[:32]}"'
    if etag in request.headers.get("If-None-Match", ""):
        response: HttpResponseBase = HttpResponseNotModified()
    else:
        name = f"{model.slug.replace('/', '--')}-{LAYERS_FILE}"
        response = FileResponse(found[0].path.open("rb"), as_attachment=True, filename=name, content_type=PARQUET)
    response["ETag"] = etag
    response["Cache-Control"] = "private, max-age=0"
    return response


@require_safe
def all_layers(request: HttpRequest) -> HttpResponseBase:
    """The convolution layers of every model that was analysed, in one file that is written while it is sent."""
    # The list is read now: once the answer has begun, no error can be told any more.
    files = layer_files(request.user)
    headers = {"Content-Disposition": f'attachment; filename="{LAYERS_FILE}"', "Cache-Control": "private, no-store"}
    content = layers_stream(files) if request.method == "GET" else iter(())
    return StreamingHttpResponse(content, content_type=PARQUET, headers=headers)


@require_safe
def layers_schema(request: HttpRequest) -> HttpResponse:
    """What the columns of these files, and of exported filters, mean."""
    document: dict[str, Any] = {
        "layers": {"schema_version": LAYER_SCHEMA_VERSION, "columns": schema_document(LAYER_COLUMNS)},
        "filters": {"schema_version": FILTER_SCHEMA_VERSION, "columns": schema_document(filter_columns_of((3, 3)))},
    }
    return json_response(request, document)
