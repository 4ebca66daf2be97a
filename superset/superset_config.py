"""Configuration of Superset for the OONI pipeline, from environment variables. docs/superset.md explains them."""

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

from sqlalchemy.engine import URL


def secret(name: str) -> str:
    """Returns the variable, or the content of the file that <name>_FILE names; empty if neither is set."""
    if path := os.environ.get(f"{name}_FILE"):
        return Path(path).read_text(encoding="utf-8").strip()
    return os.environ.get(name, "")


def required(name: str, what: str) -> str:
    value = secret(name)
    if not value:
        raise SystemExit(f"{name} is not set: set it, or {name}_FILE, to {what}.")
    return value


HOME = os.environ.get("SUPERSET_HOME", "/app/superset_home")

# Signs sessions and encrypts what Superset stores. With a new key, the previous one stays until `superset re-encrypt-secrets` has run.
SECRET_KEY = required("SUPERSET_SECRET_KEY", "a random text of at least 32 characters")
if previous := secret("SUPERSET_PREVIOUS_SECRET_KEY"):
    PREVIOUS_SECRET_KEY = previous

# Users, dashboards and charts: PostgreSQL, or a file.
SQLALCHEMY_DATABASE_URI = secret("SUPERSET_METADATA_URL") or f"sqlite:///{HOME}/superset.db"

APP_NAME = "OONI data"
SUPERSET_WEBSERVER_TIMEOUT = int(os.environ.get("SUPERSET_TIMEOUT", "60"))
SQLLAB_TIMEOUT = SUPERSET_WEBSERVER_TIMEOUT

# A dashboard shows a stored result for this long, so that many readers cost ClickHouse one query.
_CACHE = {"CACHE_TYPE": "FileSystemCache", "CACHE_THRESHOLD": 1000}
_CACHE_SECONDS = int(os.environ.get("SUPERSET_CACHE_SECONDS", "300"))
CACHE_CONFIG = {**_CACHE, "CACHE_DIR": f"{HOME}/cache/metadata", "CACHE_DEFAULT_TIMEOUT": 300}
DATA_CACHE_CONFIG = {**_CACHE, "CACHE_DIR": f"{HOME}/cache/data", "CACHE_DEFAULT_TIMEOUT": _CACHE_SECONDS}

# Links of verdicts lead to OONI Explorer; tables keep `target`.
HTML_SANITIZATION_SCHEMA_EXTENSIONS = {"attributes": {"a": ["target", "rel"]}}

# A proxy in front of Superset ends TLS and names the client.
ENABLE_PROXY_FIX = os.environ.get("SUPERSET_PROXY_FIX", "") == "1"
SESSION_COOKIE_SECURE = os.environ.get("SUPERSET_HTTPS", "") == "1"
SESSION_COOKIE_SAMESITE = "Lax"


# Stands for the ClickHouse of the pipeline in superset/assets/databases.
_PLACEHOLDER = "clickhouse.invalid"
_PORTS = {
    "http": (8123, None, False),
    "https": (8443, None, True),
    "clickhouse": (8123, 9000, False),
    "clickhouses": (8443, 9440, True),
}


def clickhouse_url(text: str) -> URL:
    """Converts CLICKHOUSE_URL, in the form of docs/settings.md, to that of the driver. No error contains the value: it has a password."""
    parts = urlsplit(text)
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ValueError("CLICKHOUSE_URL is not http(s)://user:password@host:8123/database")
    usual, native, secure = _PORTS[parts.scheme]
    port = usual if parts.port in (None, native) else parts.port
    query = {
        # The statements of SQL Lab, too, can read only: whatever the user of ClickHouse may do.
        "readonly": "2",
        "max_execution_time": str(SUPERSET_WEBSERVER_TIMEOUT),
        # A session runs one statement at a time, and a dashboard asks for many.
        "autogenerate_session_id": "false",
        **({"secure": "true"} if secure else {}),
    }
    return URL.create(
        "clickhousedb",
        username=unquote(parts.username or "default"),
        password=unquote(parts.password or ""),
        host=parts.hostname,
        port=port,
        database=unquote(parts.path.strip("/")) or "default",
        query=query,
    )


def DB_CONNECTION_MUTATOR(uri, params, username, security_manager, source):  # noqa: N802
    """Connects to CLICKHOUSE_URL in place of the placeholder. So the metadata contains no address and no password, and an import changes neither."""
    if uri.host != _PLACEHOLDER:
        return uri, params
    url = clickhouse_url(required("CLICKHOUSE_URL", "http(s)://user:password@host:8123/database"))
    # A schema that Superset has chosen, as SQL Lab does, is a database of the same server.
    if uri.database not in (None, "", "default"):
        url = url.set(database=uri.database)
    return url, params
