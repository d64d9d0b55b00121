"""Writes the handwritten digits that scikit-learn brings, as a data set that the training scripts read.

    python prepare.py FOLDER

FOLDER/digits.npz then holds 1,797 images of 8 x 8 grey values between 0 and 1: `train_images`, `train_labels`
(four fifths of them) and `test_images`, `test_labels` (the rest, held out: no script learns from it).
Upload the folder to your object storage and choose it as a data set with the name `digits`.
"""

import argparse
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split


def main():
    parser = argparse.ArgumentParser(description="Write the digits data set into a folder.")
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder

    digits = load_digits()
    images = (digits.images / 16).astype("float32")
    labels = digits.target.astype("int64")
    train_images, test_images, train_labels, test_labels = train_test_split(
        images, labels, test_size=0.2, stratify=labels, random_state=0
    )

    folder.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        folder / "digits.npz",
        train_images=train_images,
        train_labels=train_labels,
        test_images=test_images,
        test_labels=test_labels,
    )
    print(f"{len(train_images)} images to learn from and {len(test_images)} held out are in {folder / 'digits.npz'}")


if __name__ == "__main__":
    main()
