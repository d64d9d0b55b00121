"""The set of connections that a flow loads on its first line; each opens when it is first used.

Free of Prefect, so that lists and the terminal start quickly.
"""

import os
from functools import cached_property
from typing import TYPE_CHECKING

from blocks import settings
from blocks.catalogue.catalogue import Catalogue

if TYPE_CHECKING:
    from blocks.hosts.supervisord import Supervisord
    from blocks.logs.reading import LocalLogs
    from blocks.records.database import Records
    from blocks.storage.storage import Storage
    from blocks.tracking.tracking import Tracking


class Platform:
    """Everything that a flow talks to."""

    def __init__(self, where: settings.Settings | None = None) -> None:
        self.settings = where or settings.load()

    def afresh(self) -> "Platform":
        """Return this platform with its settings and keys read again: an operator may have edited them.

        Raises:
            BadSettings: the settings file is wrong by now.
        """
        return Platform(settings.load(self.settings.home))

    @cached_property
    def records(self) -> "Records":
        """The records: what was asked and what became of it."""
        from blocks.records.database import Records

        return Records(self.settings.records_url)

    @cached_property
    def storage(self) -> "Storage":
        """The places that `obs://`, `nas://` and `file://` paths name."""
        from blocks.storage.storage import Storage

        return Storage.from_settings(self.settings, os.environ)

    @cached_property
    def tracking(self) -> "Tracking":
        """MLflow."""
        from blocks.tracking.tracking import Tracking

        return Tracking(self.settings.mlflow_url)

    @cached_property
    def host(self) -> "Supervisord":
        """What keeps up what stays up."""
        from blocks.hosts.supervisord import Supervisord

        return Supervisord(self.settings.home)

    @cached_property
    def logs(self) -> "LocalLogs":
        """The lines that trainings wrote."""
        from blocks.logs.reading import LocalLogs

        return LocalLogs(self.settings.home)

    @property
    def catalogue(self) -> Catalogue:
        """The operator's images and instance types, read afresh: they may have been edited."""
        return Catalogue.load(self.settings.home / "catalogue")
