"""Links that act: what a form's link looks like, and what becomes of it when Prefect is away."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocks.settings import Settings
from flows.forms import Forms

DEPLOYMENTS = [
    {"id": "d-1", "flow_id": "f-1", "name": "easymaker"},
    {"id": "d-2", "flow_id": "f-2", "name": "easymaker"},
    {"id": "d-3", "flow_id": "f-1", "name": "somebody's own"},
]
FLOWS = [{"id": "f-1", "name": "create-training"}, {"id": "f-2", "name": "stop-training"}]


class Prefect(HTTPServer):
    """The two questions that forms ask of Prefect's API."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.asked: list[str] = []
        self.status = 200


class Answer(BaseHTTPRequestHandler):
    server: Prefect

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.server.asked.append(self.path)
        rows = DEPLOYMENTS if "deployments" in self.path else FLOWS
        body = json.dumps(rows).encode() if self.server.status == 200 else b"not json"
        self.send_response(self.server.status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        return


@pytest.fixture
def prefect() -> Iterator[Prefect]:
    server = Prefect()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def forms(prefect: Prefect, tmp_path: Path) -> Forms:
    return Forms(Settings.model_validate({"home": tmp_path, "ports": {"prefect": prefect.server_port}}))


def test_a_link_leads_to_the_deployments_form(forms: Forms):
    """It is the platform's own deployment of that flow, and not another's of the same flow."""
    link = forms.link("Create", "create-training")
    assert link == f"[Create]({forms.where.prefect_url}/v2/deployments/deployment/d-1/run)"


def test_prefect_is_asked_once_for_many_links(forms: Forms, prefect: Prefect):
    """A board of a hundred lines costs two questions."""
    for _ in range(50):
        forms.link("stop", "stop-training", {"training": "tr-1"})
    assert prefect.asked == ["/api/deployments/filter", "/api/flows/filter"]


def test_a_flow_that_is_not_deployed_is_plain_text(forms: Forms):
    """There is no link that leads nowhere."""
    assert forms.link("delete", "delete-training", {"training": "tr-1"}) == "delete"


@pytest.mark.parametrize("status", [500, 404, 201])
def test_a_prefect_that_answers_nonsense_costs_only_the_links(forms: Forms, prefect: Prefect, status: int):
    """Errors and bodies that are no JSON leave plain texts, and are not asked for again for every link."""
    prefect.status = status
    assert [forms.link("stop", "stop-training") for _ in range(20)] == ["stop"] * 20
    assert len(prefect.asked) == 1


def test_a_prefect_that_is_away_costs_only_the_links(tmp_path: Path):
    """Nobody listens: plain texts."""
    forms = Forms(Settings.model_validate({"home": tmp_path, "ports": {"prefect": 9}}))
    assert forms.link("stop", "stop-training") == "stop"


def test_links_are_kept_while_prefect_is_away(forms: Forms, prefect: Prefect):
    """What was read before stays when the next look fails."""
    before = forms.link("stop", "stop-training")
    forms._read_at -= 120
    prefect.status = 500
    assert forms.link("stop", "stop-training") == before
    assert len(prefect.asked) == 3


VALUES = st.text() | st.integers() | st.booleans() | st.dictionaries(st.text(), st.text(), max_size=3)


@given(st.dictionaries(st.text(min_size=1), VALUES, min_size=1, max_size=4))
def test_a_link_carries_its_parameters_whole(parameters: dict[str, Any]):
    """Whatever is in them, the form gets it, and the link stays one link in one cell."""
    forms = Forms(Settings(home=Path("/emf")))
    forms._ids, forms._read_at = {"create-training": "d-1"}, float("inf")
    link = forms.link("copy", "create-training", parameters)
    assert link.startswith("[copy](")
    assert not set(link[7:-1]) & set("()[]<>|`\n \"'\\*")
    assert json.loads(parse_qs(urlsplit(link[7:-1]).query)["parameters"][0]) == parameters
