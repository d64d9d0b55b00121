"""What scripts and the platform say: captured, numbered, stored, read, followed."""

from blocks.logs.capture import Capture
from blocks.logs.line import LogLine
from blocks.logs.local import LocalSink
from blocks.logs.reading import LocalLogs, Position
from blocks.logs.sink import InstanceLog, LogSink

__all__ = ["Capture", "InstanceLog", "LocalLogs", "LocalSink", "LogLine", "LogSink", "Position"]
