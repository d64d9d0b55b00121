"""The words in which an engine tells why something ended or did not begin: what each means, and whose reason it is."""

from collections.abc import Mapping

from blocks.records.words import Reason

OOM_KILLED = "OOMKilled"  # said of a whole container: only together with a kill is it the end of its script

R = Reason
ENGINE: Mapping[str, tuple[Reason, str]] = {
    # What disrupts one of several, and would not the next.
    "Evicted": (R.INTERRUPTED, "its node ran short of memory or disk, or it used more disk than it asked for"),
    "EvictionByEvictionAPI": (R.INTERRUPTED, "its node was cleared"),
    "PreemptionByScheduler": (R.INTERRUPTED, "something of higher priority took its place"),
    "Preempting": (R.INTERRUPTED, "something that its node cannot do without took its place"),
    "TerminationByKubelet": (R.INTERRUPTED, "its node was shut down, or ran short of memory or disk"),
    "DeletionByTaintManager": (R.INTERRUPTED, "its node does not answer, or takes nothing more"),
    "DeletionByPodGC": (R.INTERRUPTED, "its node was taken out of the cluster"),
    "NodeShutdown": (R.INTERRUPTED, "its node was shut down"),
    "DeadlineExceeded": (
        R.INTERRUPTED,
        "its time on the engine was over",
    ),  # the maximum time is ours to judge
    # A machine that is gone.
    "NodeLost": (R.MACHINE_LOST, "its node does not answer any more"),
    # An image that is not there, or in which nothing starts.
    "ImagePullBackOff": (R.IMAGE, "the image could not be fetched, and it was tried several times"),
    "ErrImagePull": (R.IMAGE, "the image could not be fetched"),
    "ErrImageNeverPull": (R.IMAGE, "the image is not on its node, and may not be fetched"),
    "InvalidImageName": (R.IMAGE, "the image's name is not one"),
    "ImageInspectError": (R.IMAGE, "the image is damaged on its node"),
    "ContainerCannotRun": (R.IMAGE, "the image has not what the platform starts in it"),
    "StartError": (R.IMAGE, "the image has not what the platform starts in it"),
    "RunContainerError": (R.IMAGE, "the image has not what the platform starts in it"),
    # No place for it.
    "Unschedulable": (R.PENDING_TIMEOUT, "no node has room for what its instance type asks for"),
    # What an operator has set up, and set up wrongly.
    "CreateContainerConfigError": (R.PLATFORM, "a secret or a setting that the platform names is not there"),
    "CreateContainerError": (R.PLATFORM, "its node could not make the container"),
}
"""Words that are not here say nothing by themselves: what was seen besides decides."""
