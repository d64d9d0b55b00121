"""What an instance is given when it claims an attempt."""

from sqlalchemy.orm import Session

from blocks.platform import Platform
from blocks.records.tables import Attempt
from blocks.records.trainings import seconds_trained
from blocks.storage.location import parse
from flows.training.assignment import Assignment, Tracked
from flows.training.spec import TrainingSpec

MOMENT = 1.0  # seconds: a training whose time is over gets this much, and ends as such


class Assigner:
    """Makes assignments from the records, the catalogue and the keys that only the controller holds."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform

    def assignment(self, _session: Session, attempt: Attempt) -> Assignment:
        """Return all that this attempt needs.

        Raises:
            KeyError: its image or instance type has left the catalogue.
        """
        training, where = attempt.training, self.platform.settings
        spec = TrainingSpec.model_validate(training.request)
        image, size = (
            self.platform.catalogue.image(spec.image),
            self.platform.catalogue.instance_type(spec.instance_type),
        )
        if image is None or size is None:
            raise KeyError(f"{spec.image} or {spec.instance_type} is no longer in the catalogue")
        resume = [c for a in training.attempts if a.number < attempt.number for c in a.checkpoints]
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
            resume_from=resume[-1].path if resume else "",
            storage=self.platform.storage.to_wire([parse(path) for path in paths if path]),
            tracked=Tracked(
                tracking_uri=where.mlflow_url,
                experiment_id=training.experiment.mlflow_id,
                run_id=training.mlflow_run_id,
            ),
            region=where.region,
            app_key=where.app_key,
            grace_seconds=where.grace_seconds,
        )
