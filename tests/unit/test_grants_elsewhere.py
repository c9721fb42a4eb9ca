"""A metadata database that can have no triggers: one line says so, and requests go on as without grants."""

from __future__ import annotations

import logging
import threading
from types import SimpleNamespace

import pytest
from sqlalchemy import create_engine

from superset_ext.doctor import grants as doctor
from superset_ext.grants.install import EXTENSION
from superset_ext.grants.metadata_stamps import MetadataStamps
from superset_ext.package import Package
from superset_ext.settings import load
from testing.warming import until


def test_one_line_of_the_log_says_that_nothing_is_granted(caplog: pytest.LogCaptureFixture) -> None:
    """Intent: who has installed the package with its defaults learns why no answer is given again, and is not told
    again each minute; a request starts no thread to look for what cannot be there."""
    engine = create_engine("sqlite://")
    stamps = MetadataStamps(lambda: engine, lambda: ["ab_user"])
    with caplog.at_level(logging.INFO):
        assert not stamps.ready()
        until(lambda: stamps._look_at == float("inf"))
        until(lambda: not [one for one in threading.enumerate() if one.name == "superset_ext-grants"])
        assert not any(stamps.ready() for _ in range(100))
    assert stamps.now() is None
    assert not [one for one in threading.enumerate() if one.name == "superset_ext-grants"]
    lines = [line for line in caplog.messages if "given again" in line]
    assert len(lines) == 1 and "not PostgreSQL" in lines[0]


@pytest.mark.parametrize("mode", ["triggers", "stamps"])
def test_the_doctor_names_what_can_be_set_there(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Intent: an administrator on MySQL is not told to set what cannot be had there."""
    engine = create_engine("mysql+pymysql://u:p@nowhere.invalid/superset", module=SimpleNamespace(paramstyle="format"))
    stamps = MetadataStamps(lambda: engine, lambda: ["ab_user"])
    made = SimpleNamespace(stamps=stamps, hooks=SimpleNamespace(impossible=lambda: None))
    monkeypatch.setattr(doctor, "metadata_engine", lambda _app: engine)
    package = Package(load({"SUPERSET_EXT_GRANTS": mode}), None, None, ())
    (finding,) = doctor.check_grants(SimpleNamespace(extensions={EXTENSION: made}), package)
    text = f"{finding.message}; {finding.fix}"
    assert "GRANTS=triggers" not in text and f"GRANTS={'off' if mode == 'stamps' else 'stamps'}" in text
