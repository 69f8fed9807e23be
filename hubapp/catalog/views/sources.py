"""Sources: where models come from."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from hubapp.catalog import services
from hubapp.catalog.forms import SourceForm
from hubapp.catalog.presenting import sources as presenting
from hubapp.catalog.selectors import source_list
from hubapp.catalog.views.answers import staff_only
from hubapp.ui.pages import page
from workers.kit import UserError


def source_list_page(request: HttpRequest) -> HttpResponse:
    """Where models come from; staff add folders here."""
    form = SourceForm(request.POST or None)
    if request.method == "POST":
        staff_only(request)
        if form.is_valid():
            try:
                source = services.source_add(form.cleaned_data["location"], title=form.cleaned_data["title"])
            except UserError as error:
                form.add_error(error.field if error.field in form.fields else None, error.message)
            else:
                messages.success(request, f"{source.title} was added. Scan it to bring its models into the catalogue.")
                return HttpResponseRedirect(f"{reverse('catalog:source_list')}?added={source.pk}")
    sources = list(source_list())
    context = {"sources": sources, "form": form, "added": request.GET.get("added", "")}
    is_staff = request.user.is_staff
    return page(
        request,
        "catalog/source_list.html",
        context,
        data=lambda: {"sources": [presenting.source_json(one, with_location=is_staff) for one in sources]},
        status=422 if form.errors else 200,
    )
