"""The container files name only what exists: services, paths, variables, images, keys of the chart."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from fnmatch import fnmatch
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from superset_ext import settings

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docker-compose.yml"
OVERLAY = ROOT / "docker/compose.overlay.yml"
HELM = ROOT / "docker/helm-values.yaml"
HELM_PROCESSES = ROOT / "docker/helm-processes.yaml"
EXAMPLE = ROOT / "docker/.env.example"
DOCKERFILE = ROOT / "docker/Dockerfile"
SECRETS = {"SUPERSET_SECRET_KEY", "POSTGRES_PASSWORD", "VALKEY_PASSWORD"}
# Services of docker-compose-non-dev.yml in apache/superset, and what that project has in its own folder.
OFFICIAL_SERVICES = {"redis", "db", "superset", "superset-init", "superset-worker", "superset-worker-beat"}
OFFICIAL_PATHS = {"./docker/pythonpath_dev/superset_config.py"}
# What the images of the two servers read.
IMAGE_VARIABLES = {"postgres": {"POSTGRES_USER", "POSTGRES_PASSWORD", "POSTGRES_DB"}, "valkey": {"REDISCLI_AUTH"}}
# The shape of that project's config: a Celery class, flags, and an import of the user's own overrides at its end.
OFFICIAL_CONFIG = """
class CeleryConfig:
    broker_url = "redis://redis:6379/0"
    imports = ("superset.sql_lab",)
    beat_schedule = {}
CELERY_CONFIG = CeleryConfig
FEATURE_FLAGS = {"ALERT_REPORTS": True}
SQLALCHEMY_DATABASE_URI = "postgresql://superset:superset@db:5432/superset"
CACHE_CONFIG = DATA_CACHE_CONFIG = {"CACHE_TYPE": "RedisCache"}
try:
    from superset_config_docker import *
except ImportError:
    pass
"""
VARIABLE = re.compile(r"(?<!\$)\$\{(\w+)(?::?([-?])((?:[^{}]|\{[^}]*\})*))?\}")


def load(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text())  # type: ignore[no-any-return]


def services(path: Path) -> dict[str, Any]:
    return load(path)["services"]  # type: ignore[no-any-return]


def environment(service: dict[str, Any]) -> dict[str, str]:
    return service.get("environment", {})  # type: ignore[no-any-return]


def copied() -> dict[str, Path]:
    """What docker/Dockerfile copies: path in the image → path in the repository."""
    files = {}
    for line in re.findall(r"^COPY (.+)$", DOCKERFILE.read_text(), re.M):
        *sources, target = line.split()
        for source in sources:
            place = f"{target}{Path(source).name}" if target.endswith("/") else target
            files[f"/app/performance/{place.removeprefix('./')}"] = ROOT / source
    return files


def read_by_entry_scripts() -> set[str]:
    shell = (ROOT / "docker/entrypoint.sh").read_text()
    python = (ROOT / "docker/healthcheck.py").read_text()
    return set(re.findall(r"\$\{?([A-Z][A-Z_]+)", shell)) | set(re.findall(r'environ\.get\("(\w+)"', python))


def read_by_superset() -> set[str]:
    spec = find_spec("superset")
    assert spec and spec.origin
    source = (Path(spec.origin).parent / "config.py").read_text()
    return set(re.findall(r'environ(?:\.get\(|\[)"(\w+)"', source))


@pytest.mark.parametrize("path", [COMPOSE, OVERLAY], ids=lambda p: p.name)
def test_compose_files_follow_the_specification(path: Path) -> None:
    """Both compose files are valid under the compose specification's own schema."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_dependencies_exist_and_can_be_met() -> None:
    """Each service waits for services that exist, under a condition that those can reach."""
    known = services(COMPOSE)
    for name, service in known.items():
        for other, how in service.get("depends_on", {}).items():
            assert other in known, f"{name} waits for {other}, which is no service"
            if how["condition"] == "service_healthy":
                assert "test" in known[other]["healthcheck"], f"{other} has no check that could turn healthy"
            if how["condition"] == "service_completed_successfully":
                assert known[other]["restart"] == "no", f"{other} would never be complete"


def test_every_service_is_looked_after() -> None:
    """Each service has a health check (or is a one-shot), a restart policy and rotated logs."""
    for name, service in services(COMPOSE).items():
        one_shot = service["restart"] == "no"
        assert service["restart"] == ("no" if one_shot else "unless-stopped"), name
        assert service["healthcheck"].get("disable", False) is one_shot, name
        assert {"max-size", "max-file"} <= service["logging"]["options"].keys(), name


def test_overlay_names_services_of_the_official_project() -> None:
    """A service that the official project does not have would be a new, broken one."""
    assert services(OVERLAY).keys() <= OFFICIAL_SERVICES
    assert services(OVERLAY).keys() >= OFFICIAL_SERVICES - {"redis", "db"}


def test_images_are_pinned() -> None:
    """No image without a tag, and none with a tag that moves by its name."""
    images = [service["image"] for service in services(COMPOSE).values()]
    images += re.findall(r"^ARG SUPERSET_IMAGE=(\S+)", DOCKERFILE.read_text(), re.M)
    images.append("{repository}:{tag}".format(**load(HELM)["image"]))
    assert len(images) == 10
    for image in images:
        assert re.search(r":v?\d+\.\d+(\.\d+)?(-[\w.]+)?(@sha256:\w+)?$", image), f"{image} is not pinned"


def test_only_the_web_port_is_published_and_only_here() -> None:
    """PostgreSQL and Valkey are out of reach; Superset listens on this machine alone unless told otherwise."""
    published = {name: service["ports"] for name, service in services(COMPOSE).items() if "ports" in service}
    assert published == {"web": ["${SUPERSET_PUBLISH:-127.0.0.1:8088}:8088"]}


def test_named_volumes_are_declared() -> None:
    """Every volume that a service mounts is declared at the end of the file, and none is declared for nothing."""
    mounted = {v.split(":")[0] for service in services(COMPOSE).values() for v in service.get("volumes", [])}
    assert mounted == load(COMPOSE)["volumes"].keys()


def test_mounted_paths_exist() -> None:
    """The overlay mounts what is in this repository, or in the folder of the official project."""
    for service in services(OVERLAY).values():
        for volume in service.get("volumes", []):
            host = VARIABLE.sub(lambda m: m[3] if m[2] == "-" else f"<{m[1]}>", volume).split(":")[0]
            ours = host.removeprefix("<PERFORMANCE_LAYER_DIR>/")
            assert (ROOT / ours).exists() if ours != host else host in OFFICIAL_PATHS, f"{volume}: no such path"


def test_the_image_holds_what_it_runs() -> None:
    """What the Dockerfile copies exists, is not kept out by the ignore file, and holds each path used elsewhere."""
    ignored = (ROOT / "docker/Dockerfile.dockerignore").read_text().splitlines()
    allowed = [line[1:] for line in ignored if line.startswith("!")]
    inside = copied()
    for source in inside.values():
        assert source.exists()
        assert any(fnmatch(str(source.relative_to(ROOT)), pattern) for pattern in allowed), f"{source} is ignored"
    for path in (COMPOSE, HELM, HELM_PROCESSES, DOCKERFILE):
        for used in re.findall(r"/app/performance/[\w./]+\.\w+", path.read_text()):
            assert used in inside, f"{path.name} uses {used}, which the image does not have"


def test_the_image_installs_the_locked_driver() -> None:
    """The driver for PostgreSQL has the version that everything here is tested with."""
    (wanted,) = re.findall(r"psycopg2-binary==([\d.]+)", DOCKERFILE.read_text())
    assert f"psycopg2-binary=={wanted}\n" in (ROOT / "requirements.txt").read_text()


def test_overlay_checks_are_mounted() -> None:
    """A health check of the overlay runs a file that the same service mounts."""
    for service in services(OVERLAY).values():
        targets = [v.rsplit(":", 2)[1] for v in service.get("volumes", [])]
        for word in service.get("healthcheck", {}).get("test", []):
            assert not word.startswith("/") or word in targets, f"{word} is not in the container"


def test_variables_are_read_by_something() -> None:
    """Every variable that is passed to a service is read by it: a misspelt one would silently do nothing."""
    superset = read_by_entry_scripts() | read_by_superset() | settings.variables().keys() | {"PYTHONPATH"}
    for path in (COMPOSE, OVERLAY):
        for name, service in services(path).items():
            own = IMAGE_VARIABLES.get(name)
            script = set(re.findall(r"\$\$(\w+)", str(service.get("command", ""))))
            unread = environment(service).keys() - (own | script if own else superset)
            assert not unread, f"{path.name}: {name} does not read {sorted(unread)}"


def test_settings_that_the_files_name_exist() -> None:
    """Wherever a SUPERSET_EXT_* name appears in these files and their README, it is a setting."""
    for path in [COMPOSE, *(file for file in (ROOT / "docker").rglob("*") if file.is_file())]:
        named = set(re.findall(r"SUPERSET_EXT_[A-Z_]+(?![A-Z_*<])", path.read_text()))
        assert named <= settings.variables().keys(), f"{path.name} names {named - settings.variables().keys()}"


def test_the_example_explains_every_variable() -> None:
    """The example file has each variable that the compose file takes, under a comment, and no other."""
    text = EXAMPLE.read_text()
    explained = set(re.findall(r"^(\w+)=", text, re.M))
    assert explained == {match[0] for match in VARIABLE.findall(COMPOSE.read_text())}
    for block in text.strip().split("\n\n"):
        assert block.startswith("#"), f"not explained: {block}"


def test_secrets_have_no_usable_default() -> None:
    """Without its secrets the stack does not start, and each message says what to do."""
    example = EXAMPLE.read_text()
    required = {name: message for name, how, message in VARIABLE.findall(COMPOSE.read_text()) if how == "?"}
    assert required.keys() == SECRETS
    assert all("openssl rand" in message and "docker/.env" in message for message in required.values())
    for name in SECRETS | {"SUPERSET_ADMIN_PASSWORD"}:
        assert re.search(rf"^{name}=$", example, re.M), f"{name} has a value in the example"


def test_commands_are_roles() -> None:
    """Each Superset service starts a role that the entry script has, and checks one that the health check has."""
    roles = re.search(r"usage: entrypoint.sh ([\w|-]+)", (ROOT / "docker/entrypoint.sh").read_text())
    assert roles
    for name, service in services(COMPOSE).items():
        if "build" in service:
            assert service["command"] == [name]
            assert name in roles[1].split("|")
            assert service["healthcheck"].get("test", [name])[-1] == name


@pytest.mark.parametrize("path", [COMPOSE, OVERLAY, HELM], ids=lambda p: p.name)
def test_redis_keeps_what_has_no_timeout(path: Path) -> None:
    """Invalidation stamps have no timeout: any policy but volatile-* would evict them and bring back old answers."""
    policies = re.findall(r"maxmemory-policy[ ,]+([\w-]+)", path.read_text())
    assert policies
    assert all(policy.startswith("volatile-") for policy in policies)


def test_helm_values_are_ones_that_the_chart_reads() -> None:
    """A key that the chart does not have would be ignored without a word."""
    known = json.loads((ROOT / "testing/data/superset_helm_keys.json").read_text())["keys"]
    kinds = {"list": list, "map": dict, "text": str, "number": int}

    def check(where: str, value: Any) -> None:
        allowed = known.get(where)
        if isinstance(allowed, str):
            assert isinstance(value, kinds[allowed]), f"{where} must be a {allowed}"
        elif allowed is not None:
            assert value.keys() <= set(allowed), f"{where} has no {value.keys() - set(allowed)}"
            for key, inner in value.items():
                check(f"{where}.{key}", inner)

    for key, value in load(HELM).items():
        assert key in known, f"the chart has no {key}"
        check(key, value)


def rendered(overrides: dict[str, str], files: dict[str, str]) -> str:
    """The config as the chart writes it: its own names, then the overrides, then the files, each by name."""
    return "\n".join([HELM_CONFIG, *(text for _, text in [*sorted(overrides.items()), *sorted(files.items())])])


# The shape of the chart's own part, and overrides of both kinds, as people write them.
HELM_CONFIG = """
SQLALCHEMY_DATABASE_URI = "postgresql+psycopg2://superset:superset@db/superset"
CACHE_CONFIG = {"CACHE_TYPE": "RedisCache", "CACHE_KEY_PREFIX": "superset_"}
DATA_CACHE_CONFIG = CACHE_CONFIG
class CeleryConfig:
    imports = ("superset.sql_lab",)
    broker_url = "redis://chart:6379/0"
CELERY_CONFIG = CeleryConfig
"""
OVERRIDES = {"zzz_flags": 'FEATURE_FLAGS = {"ALERT_REPORTS": True}'}
OVERRIDE_FILES = {
    "queue": "class Own:\n    broker_url = 'redis://file:6379/3'\nCELERY_CONFIG = Own",
    "zzz_cache": "DATA_CACHE_CONFIG = {**CACHE_CONFIG, 'CACHE_DEFAULT_TIMEOUT': 77}",
}


@pytest.mark.parametrize("line", ["", "from superset_ext.config import *"], ids=["without the line", "with the line"])
def test_helm_reads_the_config_last(tmp_path: Path, line: str) -> None:
    """Intent: whatever stands in overrides and files of overrides, the package adds to the last word of them all."""
    (tmp_path / "superset_config.py").write_text(rendered({**OVERRIDES, "zz": line}, OVERRIDE_FILES))
    path = load(HELM)["extraEnv"]["SUPERSET_CONFIG_PATH"]
    show = (
        "import sys; from importlib.util import module_from_spec, spec_from_file_location\n"
        "s = spec_from_file_location('config', sys.argv[1]); c = module_from_spec(s); s.loader.exec_module(c)\n"
        "print(c.CELERY_CONFIG.broker_url, c.FEATURE_FLAGS, c.DATA_CACHE_CONFIG, c.FLASK_APP_MUTATOR)"
    )
    done = subprocess.run(
        [sys.executable, "-c", show, str(copied()[path])], capture_output=True, text=True, check=False, cwd=tmp_path,
        env={
            "PATH": os.environ["PATH"], "PYTHONPATH": f"{tmp_path}:{ROOT}", "SUPERSET_EXT_REDIS_URL": "redis://x",
            "PYTHONDONTWRITEBYTECODE": "1",
        },
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("redis://file:6379/3 ")
    assert "'ALERT_REPORTS': True" in done.stdout
    assert "superset_ext" in done.stdout.split("{")[2]
    assert "'CACHE_DEFAULT_TIMEOUT': 77" in done.stdout
    assert "mutator.<locals>.install" in done.stdout


def helm_processes() -> dict[str, dict[str, Any]]:
    """The pods of the processes that the chart has no place for, by name."""
    documents = list(yaml.safe_load_all(HELM_PROCESSES.read_text()))
    assert all(document["kind"] == "Deployment" for document in documents)
    return {document["metadata"]["name"]: document["spec"] for document in documents}


def test_helm_has_every_process_that_compose_has() -> None:
    """Intent: chart and manifests together run what a stack needs: the listener and the warmer are in no chart."""
    chart = {"web", "worker", "beat", "init"}
    ours = {name.removeprefix("superset-") for name in helm_processes()}
    assert ours | chart == {name for name, service in services(COMPOSE).items() if "build" in service}
    assert not ours & chart


@pytest.mark.parametrize("name", ["warmer", "listener"])
def test_helm_processes_run_as_the_chart_s_do(name: str) -> None:
    """Intent: the same image, config, Secrets and checks as in the chart; a known role; one each."""
    spec, values = helm_processes()[f"superset-{name}"], load(HELM)
    (container,) = spec["template"]["spec"]["containers"]
    assert spec["replicas"] == 1
    assert spec["selector"]["matchLabels"] == spec["template"]["metadata"]["labels"]
    assert container["image"] == "{repository}:{tag}".format(**values["image"])
    assert container["command"] == ["/app/performance/docker/entrypoint.sh", name]
    for probe in ("startupProbe", "livenessProbe"):
        assert container[probe]["exec"]["command"] == ["python", "/app/performance/docker/healthcheck.py", name]
    given = {item["name"]: item["value"] for item in container["env"]}
    assert given.items() >= values["extraEnv"].items()
    assert given.keys() - values["extraEnv"].keys() <= services(COMPOSE)[name]["environment"].keys()
    secrets = [source["secretRef"]["name"] for source in container["envFrom"]]
    assert secrets == ["superset-env", *values["envFromSecrets"]]
    (mount,) = container["volumeMounts"]
    (volume,) = spec["template"]["spec"]["volumes"]
    assert (mount["name"], mount["mountPath"]) == (volume["name"], "/app/pythonpath")
    assert volume["secret"]["secretName"] == "superset-config"


def test_overlay_keeps_what_the_project_has_configured(tmp_path: Path) -> None:
    """Under the overlay's mounts the project's broker and flags stay, and the caches are the package's."""
    service = services(OVERLAY)["superset"]
    for volume in service["volumes"]:
        source, target, _ = VARIABLE.sub(lambda m: m[3] if m[2] == "-" else str(ROOT), volume).split(":")
        place = tmp_path / target.removeprefix("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        if source in OFFICIAL_PATHS:
            place.write_text(OFFICIAL_CONFIG)
        else:
            place.symlink_to(source)
    given = {key: VARIABLE.sub(lambda m: m[3], value) for key, value in environment(service).items()}
    given["PYTHONPATH"] = given["PYTHONPATH"].replace("/app/", f"{tmp_path}/app/")
    show = "import superset_config as c; print(c.CELERY_CONFIG.broker_url, c.FEATURE_FLAGS, c.DATA_CACHE_CONFIG)"
    done = subprocess.run(
        [sys.executable, "-c", show], env={"PATH": os.environ["PATH"], **given}, cwd=tmp_path, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "redis://redis:6379/0 " in done.stdout
    assert "'ALERT_REPORTS': True" in done.stdout
    assert "superset_ext" in done.stdout
