"""Whom Alertmanager can tell: of the receivers in ``alertmanager.yml``, those whose secret is there.

A developer's machine has none: what is told there goes nowhere, instead of failing at each attempt.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Final

from collector.stack.pins import COLLECTOR

ALERTMANAGER: Final = COLLECTOR / "alertmanager"
SECRETS: Final = ALERTMANAGER / "secrets"

# As the file is written: a receiver's name, and below it, indented further, what it does.
_RECEIVER: Final = re.compile(r"^(  - name: (\w+)\n)((?:    .*\n|\n)+)", re.MULTILINE)
_SECRET: Final = re.compile(r"_file: secrets/(\S+)")


def missing(secrets: Path | None) -> dict[str, str]:
    """The receivers that can tell nobody, each with the file that is not in ``secrets``."""
    found = {}
    for receiver in _RECEIVER.finditer((ALERTMANAGER / "alertmanager.yml").read_text()):
        for name in _SECRET.findall(receiver[3]):
            if secrets is None or not (secrets / name).is_file():
                found[receiver[2]] = name
    return found


def configuration(folder: Path, secrets: Path | None, copied: bool = False) -> Path:
    """A copy of Alertmanager's configuration in which the receivers of `missing` do nothing.

    It names the secrets where they are: Alertmanager looks for them below the folder that it is started in, and nowhere
    else. Or they are ``copied`` beside it, for a container that is started there.
    """
    silent = missing(secrets)
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ALERTMANAGER, folder, ignore=shutil.ignore_patterns("secrets"))
    path = folder / "alertmanager.yml"
    text = _RECEIVER.sub(lambda found: found[1] if found[2] in silent else found[0], path.read_text())
    if copied and secrets is not None:
        shutil.copytree(secrets, folder / "secrets")
    elif secrets is not None:
        # JSON is YAML.
        text = _SECRET.sub(lambda found: f"_file: {json.dumps(str(secrets.resolve() / found[1]))}", text)
    path.write_text(text)
    return folder
