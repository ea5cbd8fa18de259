"""nginx's configuration as text."""

import grp
import os
import pwd
import re
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from serving.router.routes import Routes
from serving.router.settings import Settings

LAST_WAIT = 60
"""Seconds that what a retired nginx still answers may take."""


def render(routes: Routes, settings: Settings, *, number: int) -> str:
    """Render the configuration of one generation.

    Args:
        routes: who answers what.
        settings: addresses and limits.
        number: of the generation; its files are in gen/NUMBER below the state directory.
    """
    # The text is nginx's, not a page's: nothing is to be escaped for HTML.
    environment = Environment(  # noqa: S701
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
    )
    environment.filters["literally"] = _literally
    environment.filters["milliseconds"] = lambda seconds: f"{max(1, round(seconds * 1000))}ms"
    text = environment.get_template("nginx.conf.j2").render(
        routes=routes,
        number=number,
        home=f"gen/{number}",
        user=_user(),
        workers=settings.workers,
        listen=settings.listen,
        grpc_listen=settings.grpc_listen,
        control_timeout=settings.control_timeout,
        idle=round(settings.keepalive),
        most_body=settings.most_body,
        last_wait=LAST_WAIT,
    )
    return "\n".join(line for line in text.splitlines() if line.strip()) + "\n"


def _literally(unit: str) -> str:
    """Write a unit as a regular expression: nginx's maps tell no case in plain texts."""
    return re.escape(unit)


def _user() -> str:
    """Name the workers' user when started as root, which may read the state directory."""
    if os.geteuid() != 0:
        return ""
    return f"{pwd.getpwuid(0).pw_name} {grp.getgrgid(os.getegid()).gr_name}"
