"""Bringing a data set: the form with its files, the check that a job makes, and what a person does with its report."""

from __future__ import annotations

import shutil
from pathlib import Path
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied, SuspiciousOperation, TooManyFilesSent
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.http.multipartparser import MultiPartParserError
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.decorators.http import require_http_methods

from hubapp.catalog.models import Upload
from hubapp.catalog.presenting import uploads as presenting
from hubapp.catalog.uploads.forms import ReadingForm, UploadForm
from hubapp.catalog.uploads.services import (
    may_change,
    refuse_others,
    upload_accept,
    upload_correct,
    upload_create,
    upload_discard,
    uploads_same,
)
from hubapp.catalog.uploads.storing import FIELD, Incoming, StoringHandler, too_large, upload_limit
from hubapp.jobs.models import Job
from hubapp.jobs.services import job_cancel, job_submit
from hubapp.jobs.views import see_other, tell_if_unsent
from hubapp.ui.pages import page
from workers.kit import UserError

KIND = "dataset_check"
# Beside the files: a name, a few sentences, the boundaries of the form.
FORM_BYTES = 2**20
CUT_OFF = "The upload was cut off on its way. Nothing was kept; send it again."


def is_program(request: HttpRequest) -> bool:
    """Whether a script asks, which wants a sentence and no page."""
    return "application/json" in request.headers.get("Accept", "")


@csrf_exempt
@require_http_methods(["GET", "HEAD", "POST"])
def dataset_new(request: HttpRequest) -> HttpResponse:
    """The form for a new data set, or a new revision of one; of a POST the files are streamed to the disk.

    Who may not upload, and what is too large, is refused before the files are read. The token of the form is checked by
    `_received`, for checking it reads the form.
    """
    if request.method != "POST":
        return _signed_in_form(request)
    try:
        _refuse_unread(request)
        with Incoming() as incoming:
            handler = StoringHandler(incoming)
            request.upload_handlers = [handler]
            return _received(request, incoming=incoming, handler=handler)
    except TooManyFilesSent:
        return _refused(request, UserError("These are too many files. Pack them into a zip.", field=FIELD))
    except (MultiPartParserError, SuspiciousOperation, EOFError):
        return _refused(request, UserError(CUT_OFF, field=FIELD))
    except UserError as error:
        return _refused(request, error, status=413 if error.field == FIELD and "larger" in error.message else 400)


@login_required
def _signed_in_form(request: HttpRequest) -> HttpResponse:
    form = UploadForm(initial=request.GET.dict(), may_name_folders=request.user.is_staff)
    return _form_page(request, form)


def _refuse_unread(request: HttpRequest) -> None:
    """Raise PermissionDenied or UserError for what is not worth reading."""
    if not request.user.is_authenticated:
        raise PermissionDenied
    stated = request.headers.get("Content-Length", "")
    if not stated.isdecimal():
        raise UserError("The upload does not say how large it is. Send it with a Content-Length.", field=FIELD)
    if int(stated) > upload_limit() + FORM_BYTES:
        raise too_large(int(stated))
    if shutil.disk_usage(settings.DATA_DIR).free < int(stated) * 1.1:
        raise UserError("The server's disk has no room for this upload. Tell whoever runs this site.", field=FIELD)


@csrf_protect
def _received(request: HttpRequest, *, incoming: Incoming, handler: StoringHandler) -> HttpResponse:
    form = UploadForm(request.POST, may_name_folders=request.user.is_staff)
    if handler.problem is not None:
        raise handler.problem
    if request.POST.get("whole") != "1":  # the last field of the form, after the files
        raise UserError(CUT_OFF, field=FIELD)
    if not form.is_valid():
        field, errors = next(iter(form.errors.items()))
        return _refused(request, UserError(str(errors[0]), field=field), form=form)
    cleaned = form.cleaned_data
    origin = str(cleaned.get("folder", "")).strip()
    if not incoming.files and not origin:
        return _refused(request, UserError("Choose a file to bring.", field=FIELD), form=form)
    if incoming.files and not incoming.size:
        return _refused(request, UserError("The file is empty. Choose another one.", field=FIELD), form=form)
    if origin and not (Path(origin).is_absolute() and _is_foreign(Path(origin))):
        sentence = "Give the full path of a file or folder that holds none of Hubscope's own data."
        return _refused(request, UserError(sentence, field="folder"), form=form)
    first = incoming.files[0].path if incoming.files else Path(origin).name
    upload = upload_create(
        user=request.user,  # type: ignore[arg-type]
        title=(cleaned["title"].strip() or first.partition(".")[0] or "Data set")[:200],
        meaning=cleaned["meaning"],
        licence=cleaned["licence"],
        dataset=cleaned["dataset"],
        folder=incoming.keep() if incoming.files else "",
        files=incoming.files,
        origin_path="" if incoming.files else origin,
        given=form.given(),
    )
    _check(request, upload)
    address = reverse("jobs:upload_detail", args=[upload.pk])
    return JsonResponse({"url": address}, status=201) if is_program(request) else see_other(address)


def _is_foreign(path: Path) -> bool:
    own = Path(settings.DATA_DIR).resolve()
    there = path.resolve()
    return there.exists() and not (own.is_relative_to(there) or there.is_relative_to(own))


def _refused(
    request: HttpRequest, error: UserError, *, form: UploadForm | None = None, status: int = 400
) -> HttpResponse:
    if is_program(request):
        return JsonResponse({"error": error.message, "field": error.field or ""}, status=status)
    if form is None:
        form = UploadForm(may_name_folders=request.user.is_staff)
    return _form_page(request, form, problem=error.message, status=status)


def _form_page(request: HttpRequest, form: UploadForm, *, problem: str = "", status: int = 200) -> HttpResponse:
    rows = Upload.objects.exclude(status=Upload.Status.ACCEPTED).select_related("dataset")
    waiting = list((rows if request.user.is_staff else rows.filter(uploaded_by=request.user.pk))[:20])
    context = {
        "form": form,
        "problem": problem,
        "limit": upload_limit(),
        "waiting": waiting,
        "formats": presenting.FORMATS,
    }
    return page(
        request,
        "catalog/dataset_new.html",
        context,
        data=lambda: {
            "limit_bytes": upload_limit(),
            "formats": [{"what": what, "how": how} for what, how in presenting.FORMATS],
            "uploads": [presenting.upload_json(one) for one in waiting],
        },
        status=status,
    )


def _check(request: HttpRequest, upload: Upload) -> None:
    submission = job_submit(
        kind=KIND, params={"upload": str(upload.pk), "round": upload.round}, requested_by=request.user
    )
    tell_if_unsent(request, submission.job)


def _job_of(upload: Upload) -> Job | None:
    jobs = Job.objects.filter(kind=KIND, params__upload=str(upload.pk), params__round=upload.round)
    return jobs.order_by("-created_at").first()


def _upload_or_404(pk: UUID) -> Upload:
    rows = Upload.objects.select_related("dataset__current_revision", "revision", "uploaded_by")
    upload = rows.filter(pk=pk).first()
    if upload is None:
        raise Http404("There is no such upload. It was discarded, or became a data set that was deleted.")
    return upload


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def upload_page(request: HttpRequest, pk: UUID) -> HttpResponse:
    """An upload: how far its check is, then the report, how to read it, and accept or discard."""
    upload = _upload_or_404(pk)
    form = ReadingForm(upload=upload)
    status, problem = 200, ""
    if request.method == "POST":
        refuse_others(upload, request.user)
        form = ReadingForm(request.POST, upload=upload)
        try:
            if (answer := _changed(request, upload, form)) is not None:
                return answer
        except UserError as error:
            problem = error.message
        status = 400
    job = _job_of(upload)
    if upload.status == Upload.Status.WAITING and job is not None and job.status == Job.Status.SUCCEEDED:
        upload = _upload_or_404(pk)  # the report came between the two look-ups
        form = ReadingForm(upload=upload)
    context = {
        "upload": upload,
        "job": job,
        "form": form,
        "problem": problem,
        "may_change": may_change(upload, request.user),
        "shown": presenting.report_shown(upload.report) if upload.status != Upload.Status.WAITING else None,
        "same": uploads_same(upload),
    }
    if request.headers.get("HX-Request") and request.method != "POST":
        return render(request, "catalog/_dataset_upload.html", context)
    return page(
        request,
        "catalog/dataset_upload.html",
        context,
        data=lambda: {**presenting.upload_json(upload), "job": job.pk if job else None},
        status=status,
    )


def _changed(request: HttpRequest, upload: Upload, form: ReadingForm) -> HttpResponse | None:
    """What a posted action leads to; None where the form has to be shown again. Raises UserError."""
    action = request.POST.get("action", "")
    here = reverse("jobs:upload_detail", args=[upload.pk])
    if action == "accept":
        dataset = upload_accept(upload)
        messages.success(request, f"{dataset.title} is in the catalogue.")
        return redirect(dataset)
    if action == "discard":
        job = _job_of(upload)
        upload_discard(upload)
        if job is not None and not job.is_finished:
            job_cancel(job.pk, requested_by=request.user)
        messages.success(request, f"{upload.title} was discarded with its files.")
        return redirect("catalog:dataset_list")
    if action == "again":
        _check(request, upload_correct(upload, upload.given))
        return see_other(here)
    if action == "check":
        if not form.is_valid():
            return None
        _check(request, upload_correct(upload, form.given()))
        return see_other(here)
    raise UserError("There is no such action. Choose one of the buttons.")
