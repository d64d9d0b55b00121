"""Where the parts of a platform are: defaults, the operator's file, the environment, and what is wrong with them."""

from pathlib import Path

import pytest

from blocks.settings import BadSettings, Ports, Settings, home, load


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch):
    for name in ("EMF_HOME", "EMF_RECORDS_URL", *(f"EMF_PORT_{part.upper()}" for part in Ports.model_fields)):
        monkeypatch.delenv(name, raising=False)


def loaded(folder: Path, text: str) -> Settings:
    (folder / "settings.yaml").write_text(text, encoding="utf-8")
    return load(folder)


@pytest.mark.parametrize("text", [None, "", "# nothing yet\n", "ports:\n", "{}"])
def test_what_is_not_said_has_defaults(tmp_path: Path, text: str | None):
    """No file, an empty one and one without fields are the same platform."""
    found = load(tmp_path) if text is None else loaded(tmp_path, text)
    assert (found.home, found.ports.prefect, found.grace_seconds) == (tmp_path, 4200, 25)
    assert found.records_url == f"sqlite:///{tmp_path}/records.db"


def test_the_operators_file_is_read(tmp_path: Path):
    """Every field that it names, and no other, is different."""
    found = loaded(
        tmp_path, "region: KR2\nports: {mlflow: 5050}\nnas: {nas-1: /mnt/one}\ntensorboard_idle_minutes: 0.5"
    )
    assert (found.region, found.ports.mlflow, found.ports.prefect) == ("KR2", 5050, 4200)
    assert found.nas == {"nas-1": Path("/mnt/one")}
    assert found.tensorboard_idle_minutes == 0.5


def test_the_environment_goes_before_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A port of EMF_PORT_<PART> wins; the file's other ports stay."""
    monkeypatch.setenv("EMF_PORT_MLFLOW", "5999")
    found = loaded(tmp_path, "ports: {mlflow: 5050, prefect: 4300}")
    assert (found.ports.mlflow, found.ports.prefect) == (5999, 4300)


def test_addresses_are_made_of_the_ports(tmp_path: Path):
    """Each address has its part's port, on loopback."""
    found = loaded(tmp_path, "ports: {prefect: 1001, mlflow: 1002, object_store: 1003, controller: 1004}")
    assert found.prefect_api_url == "http://127.0.0.1:1001/api"
    assert found.mlflow_url == "http://127.0.0.1:1002"
    assert found.controller_url == "http://127.0.0.1:1004"
    assert found.obs("data", "a/b/") == "obs://127.0.0.1:1003/data/a/b"
    assert found.obs("data") == "obs://127.0.0.1:1003/data"


def test_another_database_comes_from_the_environment_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Its address may hold a password: it is never in the file."""
    monkeypatch.setenv("EMF_RECORDS_URL", "postgresql://user:secret@host/emf")
    assert load(tmp_path).records_url == "postgresql://user:secret@host/emf"
    with pytest.raises(BadSettings, match="records_url"):
        loaded(tmp_path, "records_url: postgresql://host/emf")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ports: {prefect: 0}", ["ports.prefect", "not 0"]),
        ("ports: {prefect: 65536}", ["ports.prefect", "65536"]),
        ("ports: {tensorboard_first: 65500}", ["ports.tensorboard_first", "65500"]),
        ("ports: {prefekt: 1}", ["ports.prefekt"]),
        ("ports: {mlflow: 4200}", ["ports: prefect and mlflow both have 4200: give each a port of its own"]),
        ("ports: {controller: 8480, mlflow: 4200}", ["prefect and mlflow both have", "object_store and controller"]),
        ("ports: {controller: 6105}", ["controller and tensorboard_first both have 6105"]),
        ("ports: [1, 2]", ["ports", "[1, 2]", "prefect: 4200"]),
        ("ports: {1: 2}", ["ports"]),
        ("colour: red", ["colour", "red"]),
        ("grace_seconds: 26", ["grace_seconds", "26"]),
        ("grace_seconds: soon", ["grace_seconds", "soon"]),
        ("account: A/b", ["account", "A/b"]),
        ("tensorboard_idle_minutes: 0", ["tensorboard_idle_minutes"]),
        ("nas: /mnt", ["nas", "/mnt"]),
        ("- a\n- b", ["['a', 'b']"]),
        ("just text", ["just text"]),
        ("a: [1", ["YAML"]),
        ("1: 2", ["1"]),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, said: list[str]):
    """The message has the file, the field and the value."""
    with pytest.raises(BadSettings) as caught:
        loaded(tmp_path, text)
    assert all(word in str(caught.value) for word in (str(tmp_path / "settings.yaml"), *said)), caught.value


def test_everything_that_is_wrong_is_named_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Faults of the file and of the environment come together."""
    monkeypatch.setenv("EMF_PORT_CONTROLLER", "many")
    with pytest.raises(BadSettings) as caught:
        loaded(tmp_path, "grace_seconds: -1\ncolour: red")
    assert all(word in str(caught.value) for word in ("grace_seconds", "colour", "ports.controller", "'many'"))


def test_a_file_that_is_no_text_is_said_so(tmp_path: Path):
    """Bytes that are not UTF-8 are a fault of the file, not a traceback."""
    (tmp_path / "settings.yaml").write_bytes(b"region: \xff\xfe")
    with pytest.raises(BadSettings, match=r"settings\.yaml"):
        load(tmp_path)


@pytest.mark.parametrize(("said", "found"), [("/x/y", "/x/y"), ("~/here", "{HOME}/here"), ("", "{HOME}/.emf")])
def test_the_platforms_folder(said: str, found: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """EMF_HOME, with ~ for the user's folder; without it ~/.emf."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("EMF_HOME", said)
    assert str(home()) == found.replace("{HOME}", str(tmp_path))


def test_a_port_of_the_environment_is_nobody_elses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What the environment sets is held against the others' defaults."""
    monkeypatch.setenv("EMF_PORT_CONTROLLER", "5000")
    with pytest.raises(BadSettings, match="mlflow and controller both have 5000"):
        load(tmp_path)
    monkeypatch.setenv("EMF_PORT_CONTROLLER", "6106")  # the first after those of TensorBoards
    assert load(tmp_path).ports.controller == 6106
