"""What tests use to look at processes."""

from __future__ import annotations

import subprocess

import psutil

from testing.processes import below, those


def test_a_process_that_ends_while_it_is_looked_at_is_passed_over() -> None:
    """Intent: no test fails since some other test's program ended just then."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as staying, subprocess.Popen(["sleep", "600"]) as leaving:

        def is_cat(process: psutil.Process) -> bool:
            if process.pid == leaving.pid:
                leaving.kill()
                leaving.wait()
                process.net_connections()
            return process.name() == "cat"

        assert staying.pid in [process.pid for process in those(below(), is_cat)]
        staying.communicate()
