"""What can be wrong with a catalogue."""

from blocks.errors import Permanent


class BadCatalogue(Permanent):
    """The operator's YAML cannot be used; the message names every file, entry, field and value that is wrong."""

    def __init__(self, faults: list[str]):
        super().__init__("\n".join(["The catalogue cannot be used:", *(f"- {fault}" for fault in faults)]))
        self.faults = faults
