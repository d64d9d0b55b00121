"""Fits a model under MLflow's autologging, with a hyperparameter that it reads as another text than was asked for."""

import argparse

import mlflow
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier

parser = argparse.ArgumentParser()
parser.add_argument("--alpha", type=float)
args = parser.parse_args()
mlflow.autolog()
images, labels = load_digits(return_X_y=True)
SGDClassifier(alpha=args.alpha, max_iter=20).fit(images, labels)
