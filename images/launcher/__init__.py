"""The supervisor that runs inside an image, between the platform and a user's script; standard library only.

Who calls it: the `train` flow and every other instance, as `IMAGE_PYTHON -I -S -B …/launcher/__main__.py`, with the job
as one JSON line on standard input that stays open for as long as the script may live. What the script prints is the
launcher's standard output, on which it says nothing itself; what happens to the script is one JSON line each on the
file descriptor `EMF_REPORT_FD` (3). A launcher that has slept says so there (`woke`), and keeps the script from running
until standard input answers. Should the launcher itself fail, its traceback is on its standard error.
"""
