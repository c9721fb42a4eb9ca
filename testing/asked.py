"""What a browser has asked, asked again, and what the registry of requests calls it."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlsplit

from superset_ext.warm.discovery.discover import chart_request
from superset_ext.warm.discovery.traffic import Seen
from testing.browser import Answer, results_of
from testing.serving import Client


def answered(client: Client, asked: Answer) -> Answer:
    """The answer to what a browser has asked, asked again."""
    response = client.ask(asked.url, asked.body, asked.content_type)
    return replace(asked, status=response.status_code, text=response.text, results=results_of(response.json()))


def fingerprint(answer: Answer) -> str:
    """What the registry calls the request of an answer."""
    url = urlsplit(answer.url)
    seen = Seen(url.path, url.query, (answer.body or "").encode(), answer.content_type, answer.status)
    request = chart_request(seen, "")
    assert request is not None
    return request.fingerprint()
