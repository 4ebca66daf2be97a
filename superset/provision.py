"""
Brings Superset to the state of this installation. It may run again at any time:

    python provision.py [--assets DIR] [--mode once|always|never]

1. creates or upgrades the metadata tables and the roles;
2. creates the administrator, or sets the password of SUPERSET_ADMIN_PASSWORD if it has changed;
3. imports the dashboards: `always` replaces what users have changed in them, `once` imports only dashboards that are missing, `never` imports nothing.

Dashboards, charts and datasets that users have made themselves stay in all modes.
"""

import argparse
import contextlib
import logging
import os
import sys
from pathlib import Path

import yaml


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    here = Path(__file__).resolve().parent
    parser.add_argument("--assets", type=Path, default=here / "assets", help="folder of the dashboards")
    parser.add_argument(
        "--mode",
        choices=["once", "always", "never"],
        default=os.environ.get("SUPERSET_PROVISION", "always"),
        help="when dashboards are imported",
    )
    options = parser.parse_args()

    from superset.app import create_app

    hasten_new_file()
    app = create_app()
    logging.getLogger().setLevel(logging.WARNING)
    with app.app_context(), one_at_a_time():
        upgrade_metadata()
        admin = ensure_admin()
        import_dashboards(options.assets, options.mode, admin)
    return 0


def say(text: str) -> None:
    print(text, flush=True)


def hasten_new_file() -> None:
    """Lets SQLite write a new file without waiting for the disk: its hundreds of migrations would wait for minutes, and nobody has stored anything yet."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine, make_url
    from superset_config import SQLALCHEMY_DATABASE_URI

    url = make_url(SQLALCHEMY_DATABASE_URI)
    if url.get_backend_name() != "sqlite" or Path(url.database).exists():
        return

    @event.listens_for(Engine, "connect")
    def without_waiting(connection, _record) -> None:
        connection.execute("PRAGMA synchronous = OFF")


@contextlib.contextmanager
def one_at_a_time():
    """Several pods may start at once. PostgreSQL lets one of them through at a time; a file has one pod."""
    from superset import db

    if db.engine.dialect.name != "postgresql":
        yield
        return
    with db.engine.connect() as connection:
        connection.exec_driver_sql("SELECT pg_advisory_lock(7210603)")
        yield


def upgrade_metadata() -> None:
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory
    from flask import current_app
    from flask_migrate import upgrade
    from superset import appbuilder, db, security_manager

    def current() -> set[str]:
        with db.engine.connect() as connection:
            return set(MigrationContext.configure(connection).get_current_heads())

    config = current_app.extensions["migrate"].migrate.get_config()
    if current() == set(ScriptDirectory.from_config(config).get_heads()):
        say("metadata: current")
    else:
        say("metadata: upgrading")
        upgrade()
    appbuilder.add_permissions(update_perms=True)
    security_manager.sync_role_definitions()
    db.session.commit()


def ensure_admin():
    """Returns the administrator, who owns the imported dashboards."""
    from superset import security_manager
    from superset_config import required
    from werkzeug.security import check_password_hash

    name = os.environ.get("SUPERSET_ADMIN_USERNAME", "admin")
    user = security_manager.find_user(username=name)
    password = required("SUPERSET_ADMIN_PASSWORD", "the password of the administrator")
    if user is None:
        role = security_manager.find_role("Admin")
        email = os.environ.get("SUPERSET_ADMIN_EMAIL", "admin@localhost")
        user = security_manager.add_user(name, "OONI", "Administrator", email, role, password=password)
        if not user:
            raise SystemExit(f"The administrator {name} was not created; another user may have the address {email}.")
        say(f"administrator: {name} is created")
    elif not check_password_hash(user.password, password):
        security_manager.reset_password(user.id, password)
        say(f"administrator: {name} has a new password")
    return user


def import_dashboards(folder: Path, mode: str, admin) -> None:
    from superset import db
    from superset.commands.exceptions import CommandInvalidError, ImportFailedError
    from superset.commands.importers.v1.assets import ImportAssetsCommand
    from superset.models.dashboard import Dashboard
    from superset.utils.core import override_user

    if mode == "never":
        say("dashboards: not imported (never)")
        return
    contents = read_bundle(folder)
    if mode == "once":
        uuids = {yaml.safe_load(text)["uuid"] for name, text in contents.items() if name.startswith("dashboards/")}
        present = {str(uuid) for (uuid,) in db.session.query(Dashboard.uuid).all()}
        if uuids <= present:
            say("dashboards: kept as they are (once)")
            return
        contents = without_dashboards(contents, present)
    try:
        with override_user(admin):
            ImportAssetsCommand(contents).run()
    except ImportFailedError as error:
        # Superset keeps the reason in the cause: an invalid file, or an error of the metadata database.
        cause = error.__cause__
        reason = cause.normalized_messages() if isinstance(cause, CommandInvalidError) else cause
        raise SystemExit(f"The dashboards of {folder} were not imported: {reason}") from error
    names = [name for name in contents if name.startswith("dashboards/")]
    say(f"dashboards: {len(names)} imported")


def read_bundle(folder: Path) -> dict[str, str]:
    """Returns the files of the bundle by path, with the settings of the installation in place of their placeholders."""
    settings = {
        "{{ time range }}": os.environ.get("SUPERSET_TIME_RANGE", "Last quarter"),
        "{{ time grain }}": os.environ.get("SUPERSET_TIME_GRAIN", "P1D"),
    }
    contents = {}
    for path in sorted(folder.rglob("*.yaml")):
        text = path.read_text(encoding="utf-8")
        for placeholder, value in settings.items():
            text = text.replace(placeholder, value.replace('"', '\\"'))
        contents[path.relative_to(folder).as_posix()] = text
    if "metadata.yaml" not in contents:
        raise SystemExit(f"{folder} has no dashboards: name the folder with metadata.yaml in --assets.")
    return contents


def without_dashboards(contents: dict[str, str], present: set[str]) -> dict[str, str]:
    """Returns the bundle without the given dashboards and without their charts, which users may have changed."""
    kept = {}
    charts: set[str] = set()
    for name, text in contents.items():
        if not name.startswith("dashboards/"):
            continue
        dashboard = yaml.safe_load(text)
        if dashboard["uuid"] in present:
            continue
        kept[name] = text
        charts |= {node["meta"]["uuid"] for node in dashboard["position"].values() if isinstance(node, dict) and node["type"] == "CHART"}
    for name, text in contents.items():
        if name.startswith("dashboards/") or (name.startswith("charts/") and yaml.safe_load(text)["uuid"] not in charts):
            continue
        kept[name] = text
    return kept


if __name__ == "__main__":
    sys.exit(main())
