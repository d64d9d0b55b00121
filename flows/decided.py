"""The ends that the platform decides on itself. Free of Prefect, so that what runs beside a script can say them too."""


class Decided(Exception):
    """An end other than success that is no accident; its message is for people, and its traceback for nobody."""
