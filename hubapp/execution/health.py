"""What a supervisor or a load balancer asks: does the process answer, and can it do its work?"""

from __future__ import annotations

from django.core.cache import cache
from django.db import connection
from django.db.utils import Error as DatabaseError
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from redis.exceptions import RedisError


@require_safe
@never_cache
def healthz(request: HttpRequest) -> JsonResponse:
    """The process answers."""
    return JsonResponse({"status": "ok"})


@require_safe
@never_cache
def readyz(request: HttpRequest) -> JsonResponse:
    """Database and broker answer too; 503 with what does not."""
    parts = {"database": "ok", "broker": "ok"}
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        parts["database"] = "PostgreSQL does not answer. Start it, or start everything with `manage.py up`."
    try:
        cache.get("readyz")
    except RedisError:
        parts["broker"] = "Redis does not answer. Start it; queued jobs are kept and run afterwards."
    return JsonResponse(parts, status=200 if set(parts.values()) == {"ok"} else 503)
