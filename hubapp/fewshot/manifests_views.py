"""Pages of manifests: list with import, one manifest, its file, and choosing one for a run."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.core.paginator import Paginator
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.http.multipartparser import MultiPartParserError
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.decorators.http import require_POST, require_safe

from hubapp.fewshot import manifests
from hubapp.fewshot.manifests import Facts, Kept
from hubapp.fewshot.manifests_importing import FORM_BYTES, TOO_LARGE, ManifestForm, manifest_bring
from hubapp.fewshot.selectors import KIND, dataset_of
from hubapp.jobs.views import see_other, tell_if_unsent
from hubapp.results.models import Outcome
from hubapp.ui.pages import page
from workers.kit import UserError
from workers.sources.manifest_store import LARGEST_BYTES

PAGE_ROWS = 30
MOST_OFFERED = 20
CUT_OFF = "The file was cut off on its way. Send it again."


@require_safe
def manifest_list(request: HttpRequest) -> HttpResponse:
    """The manifests that are kept here, of all data sets or of the one that `?dataset=` names."""
    return _list_page(request)


def _list_page(
    request: HttpRequest, *, form: ManifestForm | None = None, problem: str = "", status: int = 200
) -> HttpResponse:
    slug = request.GET.get("dataset", "")
    dataset = dataset_of(slug) if slug else None
    found = manifests.manifests_kept(request.user, dataset=slug)
    shown = Paginator(found, PAGE_ROWS).get_page(request.GET.get("page"))
    datasets = {one.revision.dataset.slug: one.revision.dataset.title for one in found}
    sentence = _sentence(len(found), dataset.title if dataset else "")
    context = {
        "dataset": dataset,
        "tab": "manifests",
        "shown": shown,
        "datasets": sorted(datasets.items(), key=lambda pair: pair[1].lower()),
        "sentence": sentence,
        "problem": problem,
        "json_url": f"{reverse('fewshot:manifests_json')}?{request.GET.urlencode()}",
        "form": form or ManifestForm(initial={"dataset": slug}),
    }

    def data() -> dict[str, Any]:
        return {
            "sentence": sentence,
            "page": shown.number,
            "pages": shown.paginator.num_pages,
            "manifests": [_kept_json(one) for one in shown],
        }

    return page(request, "fewshot/manifests.html", context, data=data, status=status)


def _sentence(count: int, title: str) -> str:
    of = f" of {title}" if title else ""
    if not count:
        return f"No manifest{of} is kept here yet: every few-shot evaluation leaves one, and files can be imported."
    return f"{count:,} manifest{'' if count == 1 else 's'}{of}: which rows train, choose and test, for any model."


def _kept_json(one: Kept) -> dict[str, Any]:
    facts = one.facts
    return {
        "digest": one.digest,
        "dataset": one.revision.dataset.slug,
        "dataset_revision": one.revision.digest,
        "is_current": one.is_current,
        "is_imported": one.is_imported,
        "results": one.runs,
        "models": one.models,
        "newest": one.newest,
        "protocol": facts.protocol if facts else None,
        "seed": facts.seed if facts else None,
        "replicates": facts.replicates if facts else None,
        "shots": list(facts.sizes) if facts else None,
    }


def _kept(request: HttpRequest, digest: str) -> Kept:
    found = manifests.manifests_kept(request.user, digest=digest)
    if not found:
        raise Http404("No manifest of this digest is kept here. Import its file, or run the evaluation that drew it.")
    return next((one for one in found if one.is_current), found[0])


@require_safe
def manifest_detail(request: HttpRequest, digest: str) -> HttpResponse:
    """One manifest: parts, draws, first rows, and which results took it."""
    kept = _kept(request, digest)
    facts = manifests.facts_of(kept.location, request.GET.get("label", ""))
    outcomes = manifests.users_of(digest, request.user)
    runs = [one for one in outcomes if one.kind != manifests.IMPORT]
    context = {"kept": kept, "facts": facts, "runs": runs, "gone": manifests.GONE, "dataset": kept.revision.dataset}
    return page(request, "fewshot/manifest.html", context, data=lambda: _detail_json(kept, facts, runs))


def _detail_json(kept: Kept, facts: Facts | None, runs: list[Outcome]) -> dict[str, Any]:
    return {
        **_kept_json(kept),
        "facts": facts,
        "results": [
            {
                "outcome": str(one.pk),
                "kind": one.kind,
                "model": one.revision.model.slug if one.revision else None,
                "measured_at": one.created_at,
            }
            for one in runs
        ],
    }


@require_safe
def manifest_file(request: HttpRequest, digest: str) -> FileResponse:
    """The manifest itself, as an attachment."""
    artifact = manifests.artifact_named(digest, request.user)
    path = manifests.file_of(artifact.location) if artifact else None
    if path is None:
        raise Http404(manifests.GONE)
    name = f"manifest-{digest[:12]}.json"
    return FileResponse(path.open("rb"), as_attachment=True, filename=name, content_type="application/json")


@require_POST
@login_required
def manifest_use(request: HttpRequest, digest: str) -> HttpResponse:
    """Make the manifest ready for runs, then 303 to the form of a run that takes it."""
    kept = _kept(request, digest)
    if not kept.is_current:
        raise UserError(
            f"This manifest is of an older revision of {kept.revision.dataset.title}, and runs take the current one. "
            "Draw anew, or choose a manifest of the current revision."
        )
    manifests.make_ready(kept)
    query = urlencode({"kind": KIND, "dataset": kept.revision.dataset.slug, "p-manifest": digest})
    return see_other(f"{reverse('jobs:job_submit')}?{query}")


@require_safe
def manifest_choices(request: HttpRequest) -> HttpResponse:
    """The manifests that a run on `?dataset=` can take, as options of a list."""
    slug = request.GET.get("dataset", "")
    found = manifests.manifests_kept(request.user, dataset=slug) if slug else []
    offered = [(one, one.facts) for one in found if one.is_current][:MOST_OFFERED]
    return render(request, "fewshot/_manifest_choices.html", {"offered": offered})


@csrf_exempt
@require_POST
def manifest_import(request: HttpRequest) -> HttpResponse:
    """Bring a file: 303 to the job that checks it.

    Who may not, and what is too large, is refused before it is read. The token of the form is checked by `_received`,
    for checking it reads the form.
    """
    if not request.user.is_authenticated:
        raise PermissionDenied
    stated = request.headers.get("Content-Length", "")
    if not stated.isdecimal():
        return _list_page(request, problem="The upload does not say how large it is: no Content-Length.", status=411)
    if int(stated) > LARGEST_BYTES + FORM_BYTES:
        return _list_page(request, problem=TOO_LARGE, status=413)
    try:
        return _received(request)
    except (MultiPartParserError, SuspiciousOperation, EOFError):
        return _list_page(request, problem=CUT_OFF, status=400)


@csrf_protect
def _received(request: HttpRequest) -> HttpResponse:
    form = ManifestForm(request.POST, request.FILES)
    if not form.is_valid():
        return _list_page(request, form=form, status=400)
    try:
        submission = manifest_bring(form.cleaned_data["dataset"], form.cleaned_data["file"], user=request.user)
    except UserError as error:
        return _list_page(request, form=form, problem=error.message, status=400)
    if submission.twin_kind == "finished":
        kept = Outcome.objects.filter(job=submission.job).values_list("summary__manifest", flat=True).first()
        if kept:
            return see_other(reverse("fewshot:manifest", args=[kept]))
    tell_if_unsent(request, submission.job)
    return see_other(submission.job.get_absolute_url())
