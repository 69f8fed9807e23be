"""Settings: every one is read here, through a typed reader that refuses odd values at start.

The names of the environment variables, their defaults and meanings are in docs/settings.md (a test compares).
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from urllib.parse import unquote, urlsplit

from csp.constants import NONE, SELF, UNSAFE_INLINE
from django.core.exceptions import ImproperlyConfigured

from hubapp.execution.embedded import data_dir, endpoints

BASE_DIR = Path(__file__).resolve().parent.parent


def env_str(name: str, default: str) -> str:
    """The variable as text."""
    return os.environ.get(name, default)


def env_int(name: str, default: int, *, least: int = 0) -> int:
    """The variable as a whole number of at least `least`; raises ImproperlyConfigured otherwise."""
    text = os.environ.get(name, "")
    if not text:
        return default
    if not text.isdigit() or int(text) < least:
        raise ImproperlyConfigured(f"{name}={text!r} must be a whole number of at least {least}.")
    return int(text)


def env_bool(name: str, *, default: bool) -> bool:
    """The variable as yes or no (1/0, true/false, yes/no, on/off); raises ImproperlyConfigured otherwise."""
    text = os.environ.get(name, "").lower()
    if not text:
        return default
    if text in {"1", "true", "yes", "on"}:
        return True
    if text in {"0", "false", "no", "off"}:
        return False
    raise ImproperlyConfigured(f"{name}={text!r} must be one of 1, true, yes, on, 0, false, no, off.")


def secret_key(folder: Path) -> str:
    """The secret key of this installation: SECRET_KEY, else a file in the data folder that only its owner can read."""
    if key := os.environ.get("SECRET_KEY"):
        return key
    path = folder / "secret_key"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / f"secret_key.{os.getpid()}"
        temporary.touch(mode=0o600)
        temporary.write_text(secrets.token_urlsafe(50))
        try:
            os.link(temporary, path)  # fails if another process was first: then its key counts
        except FileExistsError:
            pass
        finally:
            temporary.unlink()
    return path.read_text().strip()


def database_from_url(url: str) -> dict[str, object]:
    """Django's database settings for a postgresql:// URL; raises ImproperlyConfigured for another scheme."""
    parts = urlsplit(url)
    if parts.scheme not in {"postgres", "postgresql"}:
        raise ImproperlyConfigured("DATABASE_URL must begin with postgresql://; Hubscope runs on PostgreSQL only.")
    return {
        "NAME": unquote(parts.path.lstrip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": unquote(parts.hostname or ""),
        "PORT": str(parts.port or ""),
    }


DATA_DIR = data_dir()
FILES_DIR = DATA_DIR / "files"
FEATURES_DIR = DATA_DIR / "features"
EMBEDDED = endpoints(DATA_DIR)

DEBUG = env_bool("DEBUG", default=False)
SECRET_KEY = secret_key(DATA_DIR)
ALLOWED_HOSTS = [
    host.strip() for host in env_str("ALLOWED_HOSTS", "127.0.0.1,localhost,[::1]").split(",") if host.strip()
]
CSRF_TRUSTED_ORIGINS = [origin for origin in env_str("CSRF_TRUSTED_ORIGINS", "").split(",") if origin]
IS_HTTPS = env_bool("HTTPS", default=False)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = IS_HTTPS
SECURE_SSL_REDIRECT = IS_HTTPS
if IS_HTTPS:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "csp",
    "django_htmx",
    "django_tables2",
    "hubapp.ui",
    "hubapp.catalog",
    "hubapp.jobs",
    "hubapp.results",
    "hubapp.insights",
    "hubapp.filterdb",
    "hubapp.weights",
    "hubapp.pairs",
    "hubapp.fewshot",
    "hubapp.bring",
    "hubapp.execution",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.middleware.gzip.GZipMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "hubapp.ui.middleware.UserErrorMiddleware",
]
ROOT_URLCONF = "hubapp.urls"
WSGI_APPLICATION = "hubapp.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    }
]
FORM_RENDERER = "hubapp.ui.forms.FormRenderer"
DJANGO_TABLES2_TEMPLATE = "ui/table.html"

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        **(database_from_url(os.environ["DATABASE_URL"]) if os.environ.get("DATABASE_URL") else EMBEDDED.database),
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
REDIS_URL = env_str("REDIS_URL", EMBEDDED.redis_url)
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL.replace("redis+socket://", "unix://"),
    }
}

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_REDIRECT_URL = "insights:front"
LOGOUT_REDIRECT_URL = "insights:front"

LANGUAGE_CODE = "en-gb"
TIME_ZONE = "UTC"
USE_I18N = True
USE_TZ = True

STATIC_URL = "static/"
STATIC_ROOT = DATA_DIR / "static"
STATICFILES_DIRS: list[Path | tuple[str, Path]] = [
    BASE_DIR / "static",
    *(
        (f"vendor/{name}", folder)
        for name, folder in {
            "bootstrap": BASE_DIR / "node_modules/bootstrap/dist",
            "plotly": BASE_DIR / "node_modules/plotly.js-cartesian-dist-min",
        }.items()
        if folder.is_dir()
    ),
]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": FILES_DIR}},
    "staticfiles": {"BACKEND": "hubapp.ui.storage.StaticStorage"},
}

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "script-src": [SELF],
        "style-src": [SELF, UNSAFE_INLINE],  # plotly writes style elements
        "img-src": [SELF, "data:", "blob:"],  # plotly's image export
        "connect-src": [SELF],
        "object-src": [NONE],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
        "form-action": [SELF],
    }
}
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

# Jobs. Seconds throughout; fault tests set small values. The facts behind them are in docs/jobs.md.
JOB_HEARTBEAT_SECONDS = env_int("HUBSCOPE_HEARTBEAT_SECONDS", 10, least=1)
JOB_STALE_SECONDS = env_int("HUBSCOPE_STALE_SECONDS", 60, least=2)
JOB_TICK_SECONDS = env_int("HUBSCOPE_TICK_SECONDS", 30, least=1)
JOB_BACKOFF_SECONDS = env_int("HUBSCOPE_BACKOFF_SECONDS", 5)
JOB_ATTEMPTS = env_int("HUBSCOPE_ATTEMPTS", 3, least=1)
JOB_TIME_LIMIT_SECONDS = env_int("HUBSCOPE_TIME_LIMIT_SECONDS", 4 * 3600, least=1)
JOB_VISIBILITY_TIMEOUT_SECONDS = env_int(
    "HUBSCOPE_VISIBILITY_TIMEOUT_SECONDS", JOB_TIME_LIMIT_SECONDS * 11 // 10, least=1
)
JOB_FAULT_TEST = env_bool("HUBSCOPE_FAULT_TEST", default=False)  # lets the visibility timeout be too short
FEATURES_BUDGET_GB = env_int("HUBSCOPE_FEATURES_BUDGET_GB", 20, least=1)  # above it the longest unused go
UPLOAD_BYTES = env_int("HUBSCOPE_UPLOAD_BYTES", 2_000_000_000, least=1)  # the most bytes of one upload
WEIGHTS_BYTES = env_int("HUBSCOPE_WEIGHTS_BYTES", 10_000_000_000, least=1)  # the most of one fetched model
WORKER_THREADS = env_int("HUBSCOPE_THREADS", 0)  # 0: all cores

# Celery: a message carries one job id; acknowledged late, one at a time, never a result (docs/jobs.md).
CELERY_BROKER_URL = REDIS_URL
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": JOB_VISIBILITY_TIMEOUT_SECONDS,
    "unacked_restore_interval": 10,
    "unacked_restore_throttle": 1,
    "socket_timeout": 30,
    "socket_connect_timeout": 5,
}
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_TIME_LIMIT = JOB_TIME_LIMIT_SECONDS
CELERY_TASK_SOFT_TIME_LIMIT = max(1, JOB_TIME_LIMIT_SECONDS * 9 // 10)
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT = 20.0
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TASK_DEFAULT_QUEUE = "cpu"
CELERY_TIMEZONE = "UTC"

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": env_str("LOG_LEVEL", "INFO")},
}
