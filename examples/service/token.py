"""``python -m examples.service.token --scope "print metrics" --sub demo``: a token, on standard output."""

from __future__ import annotations

import argparse
import sys

from examples.service import tokens
from examples.service.settings import Settings


def main() -> None:
    """Print a token that is signed with SERVICE_JWT_SECRET."""
    parser = argparse.ArgumentParser("python -m examples.service.token")
    parser.add_argument("--scope", default="print", help=f"any of: {' '.join(tokens.SCOPES)}")
    parser.add_argument("--sub", required=True, help="whose it is")
    parser.add_argument("--ttl", type=int, default=3600, help="seconds until it expires")
    parser.add_argument("--branch", help="the branch of an agent")
    options = parser.parse_args()
    unknown = set(options.scope.split()) - set(tokens.SCOPES)
    if unknown:
        parser.error(f"unknown scope: {' '.join(sorted(unknown))}")
    settings = Settings.from_environment()
    token = tokens.issue(
        settings.secret,
        audience=settings.audience,
        subject=options.sub,
        scopes=options.scope.split(),
        lifetime=options.ttl,
        branch=options.branch,
    )
    sys.stdout.write(token + "\n")


if __name__ == "__main__":
    main()
