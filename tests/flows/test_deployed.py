"""The platform's deployments among all that Prefect has."""

import json

import httpx
import pytest

from flows.deployed import PAGE, deployments


def prefect(names: list[str]) -> httpx.Client:
    """A Prefect with these deployments; it tells at most a page of them at once, and refuses to tell more."""

    def answer(request: httpx.Request) -> httpx.Response:
        query = json.loads(request.content)
        if query["limit"] > PAGE:
            return httpx.Response(422)
        page = names[query["offset"] :][: query["limit"]]
        return httpx.Response(200, json=[{"name": name} for name in page])

    return httpx.Client(transport=httpx.MockTransport(answer), base_url="http://prefect/api")


def test_only_the_platforms_own_are_found():
    """Those of its name, and those whose name begins with it and a dash."""
    names = ["easymaker", "easymaker-nightly", "mine", "easymakers", "my-easymaker"]
    assert [one["name"] for one in deployments(prefect(names))] == ["easymaker", "easymaker-nightly"]


@pytest.mark.parametrize("others", [0, PAGE - 1, PAGE, 3 * PAGE])
def test_they_are_found_among_any_number(others: int):
    """More deployments than Prefect tells at once hide none."""
    found = deployments(prefect(["mine"] * others + ["easymaker"]))
    assert [one["name"] for one in found] == ["easymaker"]


def test_a_refusal_is_raised():
    """Nothing is taken for an answer that is none."""
    client = httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(500)), base_url="http://prefect/api")
    with pytest.raises(httpx.HTTPError):
        deployments(client)
