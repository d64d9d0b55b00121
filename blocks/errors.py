"""The two words that every retry condition reads: will asking again help, or not.

Each room of `blocks` has its own errors below these two and translates its vendor's into them in one place.
"""


class BlockError(Exception):
    """What a connection answers when it could not do what it was asked."""


class Permanent(BlockError):
    """Asking again with the same words gives the same answer."""


class Temporary(BlockError):
    """The other side is away or busy: asking again later may help."""
