"""The operator's catalogue: read, checked, and held against a machine."""

from pathlib import Path

import pytest

from blocks.catalogue.catalogue import GIB, Catalogue, CoreType, Gpu, InstanceType, Machine
from blocks.catalogue.errors import BadCatalogue
from blocks.errors import Permanent

GOOD_IMAGE = """
- name: mine
  core_type: CPU
  framework: PYTORCH
  framework_version: "2.10"
  python: "3.12"
  environment: pytorch
"""


def test_the_defaults_are_a_catalogue(tmp_path: Path):
    """An operator who writes no file has images of both frameworks and instance types of both kinds."""
    catalogue = Catalogue.load(tmp_path)
    assert {image.framework for image in catalogue.images} >= {"PYTORCH", "TENSORFLOW"}
    assert {kind.core_type for kind in catalogue.instance_types} == {CoreType.CPU, CoreType.GPU}
    assert catalogue.image("pytorch-2.13-cpu-py311") in catalogue.images
    assert catalogue.instance_type("cpu.small") in catalogue.instance_types


def test_the_default_cpu_types_fit_two_cores_and_4_gb(tmp_path: Path):
    """Every CPU type of the defaults runs on a machine of two cores and 4 GB, of which the kernel keeps some."""
    machine = Machine(vcpus=2, memory_bytes=int(3.8 * GIB))
    kinds = [kind for kind in Catalogue.load(tmp_path).instance_types if kind.core_type == CoreType.CPU]
    assert len(kinds) >= 3
    assert [kind.fits(machine) for kind in kinds] == [None] * len(kinds)


def test_the_operators_file_goes_before_the_default(tmp_path: Path):
    """A file in the folder replaces that default alone; the other one stays."""
    (tmp_path / "images.yaml").write_text(GOOD_IMAGE)
    catalogue = Catalogue.load(tmp_path)
    assert [image.name for image in catalogue.images] == ["mine"]
    assert catalogue.image("mine").framework_version == "2.10"  # pyright: ignore[reportOptionalMemberAccess]
    assert catalogue.instance_type("cpu.small")
    assert catalogue.image("pytorch-2.13-cpu-py311") is None


def test_without_a_folder_the_platforms_own_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """`load()` reads EMF_HOME/catalogue."""
    (tmp_path / "catalogue").mkdir()
    (tmp_path / "catalogue" / "images.yaml").write_text(GOOD_IMAGE)
    monkeypatch.setenv("EMF_HOME", str(tmp_path))
    assert [image.name for image in Catalogue.load().images] == ["mine"]


def test_everything_that_is_wrong_is_named_at_once(tmp_path: Path):
    """File, entry, field and value of every fault in both files stand in one error, which is permanent."""
    (tmp_path / "images.yaml").write_text(GOOD_IMAGE.replace('"2.10"', "2.10").replace("CPU", "TPU") + GOOD_IMAGE * 2)
    (tmp_path / "instance_types.yaml").write_text(
        "- {name: big, vcpus: -1, memory_gb: lots, colour: red, gpus: 1}\n- 7"
    )
    with pytest.raises(BadCatalogue) as caught:
        Catalogue.load(tmp_path)
    assert isinstance(caught.value, Permanent)
    told = str(caught.value)
    for words in (
        ("images.yaml, entry 1 ('mine')", "framework_version", "quotes", "2.1"),
        ("images.yaml, entry 1 ('mine')", "core_type", "TPU"),
        ("images.yaml", "'mine'", "3 times"),
        ("instance_types.yaml, entry 1 ('big')", "vcpus", "-1"),
        ("entry 1 ('big')", "memory_gb", "'lots'"),
        ("entry 1 ('big')", "colour", "'red'", "no such field"),
        ("entry 1 ('big')", "gpu_kind", "gpus is 1", "give both or neither"),
        ("instance_types.yaml, entry 2", "7"),
    ):
        assert any(all(word in line for word in words) for line in told.splitlines()), (words, told)


@pytest.mark.parametrize("text", ["", "[]", "name: x", "just text", "- [", "- \x00", "!!python/object:os.system {}"])
def test_a_file_that_is_no_list_of_entries_is_refused(tmp_path: Path, text: str):
    """Whatever else a file holds, the error names the file and is ours."""
    (tmp_path / "images.yaml").write_text(text)
    with pytest.raises(BadCatalogue, match=r"images\.yaml"):
        Catalogue.load(tmp_path)


def test_a_file_in_another_encoding_is_refused(tmp_path: Path):
    """Bytes that are not UTF-8 are told with the file's name, not as a decoder's traceback."""
    (tmp_path / "images.yaml").write_bytes("- name: 이미지".encode("euc-kr"))
    with pytest.raises(BadCatalogue, match=r"images\.yaml"):
        Catalogue.load(tmp_path)


def test_gpus_and_their_kind_go_together(tmp_path: Path):
    """GPUs without a kind, and a kind without GPUs, are refused."""
    for fields in ("gpus: 1", "gpu_kind: H100"):
        (tmp_path / "instance_types.yaml").write_text(f"- {{name: g, vcpus: 1, memory_gb: 1, {fields}}}")
        with pytest.raises(BadCatalogue, match="give both or neither"):
            Catalogue.load(tmp_path)


@pytest.mark.parametrize(
    ("kind", "count", "reason"),
    [
        (InstanceType(name="a", vcpus=2, memory_gb=4), 1, None),
        (InstanceType(name="a", vcpus=64, memory_gb=4), 1, None),  # a vCPU is a share
        (InstanceType(name="a", vcpus=1, memory_gb=4.1), 1, "memory"),
        (InstanceType(name="a", vcpus=1, memory_gb=2), 2, None),
        (InstanceType(name="a", vcpus=1, memory_gb=2), 3, "6 GB of memory; this machine has 4.0 GB"),
        (InstanceType(name="a", vcpus=1, memory_gb=1, gpus=1, gpu_kind="H100"), 1, None),
        (
            InstanceType(name="a", vcpus=1, memory_gb=1, gpus=1, gpu_kind="H100"),
            2,
            "2 × H100; of GPUs this machine has 1 × NVIDIA",
        ),
        (InstanceType(name="a", vcpus=1, memory_gb=1, gpus=1, gpu_kind="h100 80gb"), 1, None),
        (InstanceType(name="a", vcpus=1, memory_gb=1, gpus=1, gpu_kind="A100"), 1, "needs 1 × A100"),
    ],
)
def test_memory_and_gpus_are_hard_and_vcpus_are_not(kind: InstanceType, count: int, reason: str | None):
    """A machine refuses what its memory or GPUs could never hold, all instances together, and says why."""
    said = kind.fits(Machine(2, 4 * GIB, (Gpu("0", "NVIDIA H100 80GB HBM3"),)), count)
    assert said is None if reason is None else reason in (said or "")
