"""What the platform's processes find in their environment: an allow-list of the caller's, and what is set for them.

Nothing else of the shell in which `emf up` was typed reaches them. Secrets are not here: see `credentials.py`.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from blocks.proxies import exceptions
from blocks.settings import LOOPBACK, Settings

NAMES = {
    *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
    *("LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES"),
}
CHECKOUT = Path(__file__).parents[2]  # where prefect.yaml and the flows are

PREFIXES = ("LC_", "PIP_", "UV_", "NVIDIA_")

# Measured: these bring Prefect's idle load down to what a machine with two cores does not notice.
PREFECT_SERVER = {
    "PREFECT_SERVER_SERVICES_LATE_RUNS_LOOP_SECONDS": "30",
    "PREFECT_SERVER_SERVICES_FOREMAN_LOOP_SECONDS": "30",
    "PREFECT_SERVER_SERVICES_PAUSE_EXPIRATIONS_LOOP_SECONDS": "60",
    "PREFECT_SERVER_SERVICES_CANCELLATION_CLEANUP_LOOP_SECONDS": "60",
    "PREFECT_SERVER_SERVICES_REPOSSESSOR_LOOP_SECONDS": "60",
    "PREFECT_SERVER_SERVICES_CLEANUP_RECONCILER_LOOP_SECONDS": "60",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
}
PREFECT_WORKER = {
    "PREFECT_WORKER_QUERY_SECONDS": "1",  # submit to pending in 0.5 s instead of 4-9 s
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",  # runs inherit it; one whose heartbeats stop has crashed (zombies.py)
}


def inherited(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what of the caller's environment the platform's processes may see; its own programs lead PATH."""
    allowed = {name: value for name, value in environ.items() if name in NAMES or name.startswith(PREFIXES)}
    programs = str(Path(sys.executable).parent)
    return allowed | {"PATH": os.pathsep.join((programs, environ.get("PATH") or os.defpath))}


def addresses(settings: Settings) -> dict[str, str]:
    """Return what every process of the platform needs to find the others."""
    return {
        **{f"EMF_PORT_{part.upper()}": str(port) for part, port in settings.ports.model_dump().items()},
        "PREFECT_API_URL": settings.prefect_api_url,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "MLFLOW_TRACKING_URI": settings.mlflow_url,
    }


def process_environment(settings: Settings, part: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the whole environment of a process that carries this platform's mark: EMF_HOME and EMF_PART."""
    ours = {
        "EMF_HOME": str(settings.home),
        "EMF_PART": part,
        "EMF_CHECKOUT": str(CHECKOUT),
        "PREFECT_HOME": str(settings.home / "prefect"),
        "PYTHONUNBUFFERED": "1",
    }
    return inherited(environ) | addresses(settings) | exceptions(environ) | ours


def prefect_server(settings: Settings) -> dict[str, str]:
    """Return what Prefect's server is told. Its own default lets every page that the operator opens start runs here."""
    origins = (settings.prefect_url, settings.prefect_url.replace(LOOPBACK, "localhost"))
    return PREFECT_SERVER | {
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": ",".join(origins),
        # It rewrites its pages inside site-packages unless told where: two platforms would break each other's.
        "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(settings.home / "prefect" / "ui"),
    }


def mlflow(folder: Path) -> dict[str, str]:
    """Return what MLflow's web application reads when it is started without MLflow's own command.

    That command hands exactly these to the application and then stays, a second process of 190 MB.
    """
    store = f"sqlite:///{folder}/mlflow.db"
    return {
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # seven processes of 178 MB
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_TRACKING_URI": store,
        "MLFLOW_REGISTRY_URI": store,
        "_MLFLOW_SERVER_FILE_STORE": store,
        "_MLFLOW_SERVER_REGISTRY_STORE": store,
        "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
        "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
        "_MLFLOW_SERVER_ARTIFACT_DESTINATION": f"{folder}/artifacts",
        "_MLFLOW_SGI_NAME": "uvicorn",
    }
