"""Learns to read handwritten digits with TensorFlow.

Run it as a training of AI EasyMaker (entry point `train_tf.py`, a data set with the name `digits`, see prepare.py), or
by hand, where everything goes into the folder `output`:

    python prepare.py data && python train_tf.py --epochs 5
"""

import argparse
import json
import os
from pathlib import Path

import mlflow
import numpy as np
import tensorflow as tf

# In a training of the platform MLflow has a run already, and what is logged goes to it; by hand there is no server.
TRACKED = "MLFLOW_TRACKING_URI" in os.environ


def arguments():
    """Every hyperparameter of the training arrives as `--name value`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--learning-rate", type=float, default=0.005)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--hidden", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    # parse_known_args, not parse_args: a hyperparameter that this script does not know does not end it.
    return parser.parse_known_args()[0]


def folder(variable, default):
    """EasyMaker names the folders in the environment; outside of it there are defaults."""
    path = Path(os.environ.get(variable) or default)
    path.mkdir(parents=True, exist_ok=True)
    return path


def load(path):
    """Return images and labels to learn from, and those held out."""
    with np.load(path / "digits.npz") as file:
        return (file["train_images"], file["train_labels"]), (file["test_images"], file["test_labels"])


def build(hidden, learning_rate):
    """An image of 8 x 8 grey values in, one score for each of the ten digits out."""
    model = tf.keras.Sequential(
        [
            tf.keras.Input((8, 8)),
            tf.keras.layers.Flatten(),
            tf.keras.layers.Dense(hidden, activation="relu"),
            tf.keras.layers.Dense(10),
        ]
    )
    model.compile(
        optimizer=tf.keras.optimizers.Adam(learning_rate),
        loss=tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


def resume(args):
    """Return a model and the number of epochs it has behind it: from a checkpoint if there is one, else a new one."""
    path = Path(os.environ.get("EM_CHECKPOINT_INPUT_DIR") or "output/checkpoint")
    if not (path / "epoch.json").exists():
        return build(args.hidden, args.learning_rate), 0
    state = json.loads((path / "epoch.json").read_text())
    print(f"Going on after epoch {state['epoch']}")
    return tf.keras.models.load_model(path / state["file"]), state["epoch"]


class Checkpoint(tf.keras.callbacks.Callback):
    """Saves the model after each epoch under a name of its own, then says so: a whole one is always there."""

    def __init__(self, path):
        super().__init__()
        self.path = path

    def on_epoch_end(self, epoch, logs=None):
        name = f"model-{epoch + 1}.keras"
        self.model.save(self.path / name)
        (self.path / "epoch.json.part").write_text(json.dumps({"epoch": epoch + 1, "file": name}))
        os.replace(self.path / "epoch.json.part", self.path / "epoch.json")
        for old in self.path.glob("model-*.keras"):
            if old.name != name:
                old.unlink()


class Report(tf.keras.callbacks.Callback):
    """Prints the epoch and sends its metrics to MLflow."""

    def on_epoch_end(self, epoch, logs=None):
        print(
            f"epoch {epoch + 1}/{self.params['epochs']}: loss {logs['loss']:.4f}, accuracy {logs['val_accuracy']:.4f}"
        )
        if TRACKED:
            mlflow.log_metrics({"loss": logs["loss"], "accuracy": logs["val_accuracy"]}, step=epoch + 1)


def main():
    args = arguments()
    tf.keras.utils.set_random_seed(args.seed)
    (images, labels), test = load(Path(os.environ.get("EM_DATASET_DIGITS") or "data"))
    model, done = resume(args)
    callbacks = [
        Report(),
        Checkpoint(folder("EM_CHECKPOINT_DIR", "output/checkpoint")),
        tf.keras.callbacks.TensorBoard(folder("EM_TENSORBOARD_LOG_DIR", "output/tensorboard")),
    ]

    if TRACKED:
        mlflow.log_params(vars(args))
    model.fit(
        images,
        labels,
        validation_data=test,
        batch_size=args.batch_size,
        initial_epoch=done,
        epochs=args.epochs,
        callbacks=callbacks,
        verbose=0,
    )

    accuracy = float(model.evaluate(*test, verbose=0)[1])
    output = folder("EM_MODEL_DIR", "output/model")
    model.export(output, verbose=False)  # a SavedModel, for serving
    (output / "metrics.json").write_text(json.dumps({"accuracy": accuracy, "epochs": args.epochs}))
    print(f"accuracy {accuracy:.4f} on {len(test[0])} images; the model is in {output}")


if __name__ == "__main__":
    main()
