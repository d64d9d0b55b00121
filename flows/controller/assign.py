"""What an instance is given when it claims an attempt."""

from pydantic import ValidationError

from blocks.catalogue.catalogue import BadCatalogue
from blocks.errors import Permanent, Temporary
from blocks.platform import Platform
from blocks.records.tables import Attempt
from blocks.records.trainings import seconds_trained
from blocks.settings import BadSettings
from blocks.storage.errors import BadPath, StorageError, UnknownEndpoint
from blocks.storage.location import parse
from flows.training.assignment import Assignment, Tracked
from flows.training.spec import TrainingSpec

MOMENT = 1.0  # seconds: a training whose time is over gets this much, and ends as such


class Unassignable(Permanent):
    """What this training asked for is no longer there: no later claim can be given it."""


class OperatorsFault(Temporary):
    """A file of the operator's cannot be read just now; the claim is repeated until it can."""


class Assigner:
    """Makes assignments from the records, the catalogue and the keys that only the controller holds."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform

    def assignment(self, attempt: Attempt) -> Assignment:
        """Return all that this attempt needs; keys, mounts and the catalogue are read afresh.

        Raises:
            Unassignable: its image, instance type or one of its places is no longer known.
            OperatorsFault: the settings, the keys or the catalogue are wrong at the moment.
        """
        try:
            return self._assignment(attempt)
        except (UnknownEndpoint, BadPath) as error:
            raise Unassignable(str(error)) from error
        except (BadSettings, BadCatalogue, StorageError) as error:
            raise OperatorsFault(str(error)) from error
        except ValidationError as error:
            fields = ", ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
            raise Unassignable(f"The request of the training is not understood any more: {fields}.") from None

    def _assignment(self, attempt: Attempt) -> Assignment:
        here = self.platform.afresh()
        training, where, catalogue = attempt.training, here.settings, here.catalogue
        spec = TrainingSpec.model_validate(training.request)
        image, size = catalogue.image(spec.image), catalogue.instance_type(spec.instance_type)
        if image is None or size is None:
            raise Unassignable(f"{spec.image if image is None else spec.instance_type} is no longer in the catalogue.")
        paths = [spec.algorithm_path, spec.output_path, spec.checkpoint_path, *(d.path for d in spec.data_sets)]
        return Assignment(
            attempt_id=attempt.id,
            number=attempt.number,
            training_id=training.id,
            experiment_id=training.experiment_id,
            spec=spec,
            environment=image.environment,
            framework=image.framework,
            vcpus=size.vcpus,
            memory_bytes=size.memory_bytes,
            gpus=attempt.gpus,
            seconds_left=max(MOMENT, spec.maximum_seconds - seconds_trained(training)),
            before=_ended_before(attempt),
            resume_from=_kept_before(attempt),
            storage=here.storage.to_wire([parse(path) for path in paths if path]),
            tracked=Tracked(
                tracking_uri=where.mlflow_url,
                experiment_id=training.experiment.mlflow_id,
                run_id=training.mlflow_run_id,
            ),
            region=where.region,
            app_key=where.app_key,
            grace_seconds=where.grace_seconds,
        )


def _kept_before(attempt: Attempt) -> list[str]:
    """Return the paths of the checkpoints that earlier attempts have kept, the newest first."""
    earlier = [a for a in attempt.training.attempts if a.number < attempt.number]
    return [c.path for a in earlier for c in a.checkpoints][::-1]


def _ended_before(attempt: Attempt) -> str:
    earlier = [a for a in attempt.training.attempts if a.number < attempt.number]
    return f"attempt {earlier[-1].number} ended: {earlier[-1].message}" if earlier else ""
