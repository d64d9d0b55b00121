"""Pages of lists: how many lines, and how many of the newest to leave out."""

from pydantic import BaseModel, Field

from flows.faults import Fault, all_faults


class _Page(BaseModel):
    limit: int = Field(ge=1, le=10_000)
    offset: int = Field(ge=0, le=1_000_000_000)


def page_faults(limit: object, offset: object) -> list[Fault]:
    """Return what is wrong with the bounds of a page; a database takes no number of any length."""
    return all_faults(_Page, {"limit": limit, "offset": offset})
