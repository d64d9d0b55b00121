"""What supervisord really starts: it becomes the service, with the environment that the service should have.

supervisord hands its own whole environment to each program and cannot be told not to. So it starts this file, which
reads the service's command, folder and environment from one variable and replaces itself (the pid stays).
Standard library only: it is run by path with `python -I -S`, 20 ms.
"""

import json
import os
import sys

VARIABLE = "EMF_SERVICE"
# What a program may need of the machine it runs on, and no more.
INHERITED = (
    *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "TZ", "TMPDIR"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"),
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
)
CANNOT_START = 127


def main() -> None:
    """Become the service; exit with 127 and say why if that cannot be."""
    service = json.loads(os.environ[VARIABLE])
    inherited = {name: value for name, value in os.environ.items() if name in INHERITED}
    command: list[str] = service["command"]
    try:
        if service["folder"] is not None:
            os.chdir(service["folder"])
        os.execvpe(command[0], command, inherited | service["environment"])  # noqa: S606 - no shell is the point
    except OSError as error:
        sys.stderr.write(f"Cannot start {command[0]!r} in {service['folder'] or 'its folder'}: {error.strerror}\n")
        sys.exit(CANNOT_START)


if __name__ == "__main__":
    main()
