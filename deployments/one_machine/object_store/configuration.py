"""The configuration of Swift's four servers, as text: they are loaded from memory, so no file holds the S3 key.

On disk, under `EMF_HOME/object_store`: `swift.conf` (the hash suffix, never changed once objects exist), the rings, and
the objects. Read by `server.py`.
"""

from pathlib import Path

SERVERS = ("account", "container", "object")
PIPELINE = (
    "catch_errors gatekeeper healthcheck cache listing_formats bulk tempurl s3api tempauth copy slo dlo "
    "versioned_writes symlink proxy-server"
)
MODULE = __package__ or "deployments.one_machine.object_store"

# One node, so an error must never make the proxy avoid it, and a busy disk must be waited for.
PATIENCE = {"conn_timeout": "5", "node_timeout": "60", "container_update_timeout": "10"}


def common(folder: Path) -> dict[str, str]:
    """Return the fields that every server and daemon reads."""
    return {
        "swift_dir": str(folder),
        "devices": str(folder / "devices"),
        "mount_check": "false",
        "recon_cache_path": str(folder / "recon"),
        "log_level": "WARNING",
        "log_custom_handlers": f"{MODULE}.log.to_stderr",
        **PATIENCE,
    }


def swift_conf(hash_suffix: str) -> str:
    """Return `swift.conf`: the secret suffix of every path's hash, and the one storage policy."""
    return render(
        {
            "swift-hash": {"swift_hash_path_suffix": hash_suffix},
            "storage-policy:0": {"name": "one-copy", "default": "yes"},
        }
    )


def storage_server(kind: str, folder: Path) -> str:
    """Return the configuration of the account, container or object server."""
    return render(
        {
            "DEFAULT": common(folder),
            "pipeline:main": {"pipeline": f"{kind}-server"},
            f"app:{kind}-server": {"use": f"egg:swift#{kind}"},
        }
    )


def proxy(folder: Path, region: str, access_key: str, secret_key: str) -> str:
    """Return the proxy's configuration: Swift's native API, and the S3 API with `access_key` = `account:user`.

    Raises:
        ValueError: the access key is not `account:user`, or the secret key is empty or holds a space.
    """
    account, colon, user = access_key.partition(":")
    if not (account and colon and user) or "_" in access_key or ":" in user:
        raise ValueError(f"EMF_OBJECT_STORE_ACCESS_KEY must be `account:user`, without `_`; it is {access_key!r}.")
    if secret_key.split() != [secret_key]:
        raise ValueError("EMF_OBJECT_STORE_SECRET_KEY must not be empty, nor hold a space.")
    filters = {
        "cache": {"paste.filter_factory": f"{MODULE}.cache:filter_factory"},
        "s3api": {"use": "egg:swift#s3api", "location": region, "max_upload_part_num": "10000"},
        "tempauth": {"use": "egg:swift#tempauth", f"user_{account}_{user}": f"{secret_key} .admin"},
        "tempurl": {"use": "egg:swift#tempurl", "allowed_digests": "sha256 sha512"},
        "slo": {"use": "egg:swift#slo", "max_manifest_segments": "10000"},
        "versioned_writes": {"use": "egg:swift#versioned_writes", "allow_object_versioning": "true"},
    }
    return render(
        {
            "DEFAULT": common(folder) | {"error_suppression_limit": "1000000000"},
            "pipeline:main": {"pipeline": PIPELINE},
            "app:proxy-server": {
                "use": "egg:swift#proxy",
                "account_autocreate": "true",
                "allow_account_management": "true",
            },
        }
        | {f"filter:{name}": filters.get(name, {"use": f"egg:swift#{name}"}) for name in PIPELINE.split()[:-1]}
    )


def internal_client(folder: Path) -> str:
    """Return the pipeline that the expirer speaks through: no authentication, no socket."""
    return render(
        {
            "DEFAULT": common(folder),
            "pipeline:main": {"pipeline": "catch_errors cache proxy-server"},
            "app:proxy-server": {"use": "egg:swift#proxy", "account_autocreate": "true"},
            "filter:cache": {"paste.filter_factory": f"{MODULE}.cache:filter_factory"},
            "filter:catch_errors": {"use": "egg:swift#catch_errors"},
        }
    )


def render(sections: dict[str, dict[str, str]]) -> str:
    """Return the ini text of the sections.

    Raises:
        ValueError: a value that ini cannot hold: a line break would begin another field, `%(` an interpolation.
    """
    for section, fields in sections.items():
        for name, value in fields.items():
            if any(mark in value for mark in ("\n", "\r", "%(")) or value != value.strip():
                raise ValueError(f"{section}.{name} holds a line break, `%(` or outer spaces, which ini cannot hold.")
    return "\n".join(
        f"[{section}]\n" + "".join(f"{name} = {value}\n" for name, value in fields.items())
        for section, fields in sections.items()
    )
