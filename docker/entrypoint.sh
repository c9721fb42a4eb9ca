#!/usr/bin/env bash
# Starts one part of Superset: the same script in the image, in Compose, and in the embedded stack.
# Runs with bash 3.2 (macOS) and later. The package, sql/ and superset_config.py lie beside this folder.
set -eu

usage() {
  echo "usage: entrypoint.sh init|web|worker|warmer|beat|worker-beat|listener" >&2
  exit 64 # EX_USAGE
}

settle() {
  root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
  export PYTHONPATH="${PYTHONPATH:+$PYTHONPATH:}$root" # last, so that a superset_config of the user's own wins
  # A forked Python on macOS dies when a library (here: the system's proxy look-up) has used Objective-C before.
  if [ "$(uname -s)" = Darwin ]; then
    export OBJC_DISABLE_INITIALIZE_FORK_SAFETY=YES
  fi
  python -m superset_ext.settings # one line and status 1 on a bad setting, before anything costly starts
}

create_admin() {
  if [ -z "${SUPERSET_ADMIN_PASSWORD:-}" ]; then
    echo "No administrator was asked for: set SUPERSET_ADMIN_PASSWORD to have one made."
    return
  fi
  # Flask takes any option from FLASK_<COMMAND>_<OPTION>: so the password shows in no list of processes.
  FLASK_FAB_CREATE_ADMIN_PASSWORD="$SUPERSET_ADMIN_PASSWORD" superset fab create-admin \
    --username "${SUPERSET_ADMIN_USER:-admin}" --firstname Superset --lastname Admin \
    --email "${SUPERSET_ADMIN_EMAIL:-admin@example.com}"
}

run_init() {
  superset db upgrade
  superset init # before the administrator, who needs the role that this makes
  create_admin
  superset perf upgrade
}

run_web() {
  # gunicorn's heartbeat file on a disk can block a worker for seconds; macOS has no /dev/shm.
  if [ -d /dev/shm ] && [ -w /dev/shm ]; then
    set -- --worker-tmp-dir /dev/shm
  else
    set --
  fi
  # No --max-requests: a new worker costs nine seconds of CPU. No limit on the request line: Explore's are long.
  exec gunicorn --bind "${SUPERSET_BIND:-0.0.0.0}:${SUPERSET_PORT:-8088}" \
    --worker-class gthread --workers "${SUPERSET_WORKERS:-2}" --threads "${SUPERSET_THREADS:-4}" \
    --timeout 120 --graceful-timeout 30 --keep-alive 5 \
    --limit-request-line 0 --limit-request-field_size 0 \
    --access-logfile - --error-logfile - "$@" "superset.app:create_app()"
}

run_worker() {
  # Neither gossip nor mingle: nothing here listens to other workers, and both cost messages all day.
  # Warming's queue has a worker of its own, the warmer.
  exec celery --app=superset.tasks.celery_app:app worker --pool=prefork -O fair --loglevel=INFO \
    --queues=celery --concurrency="${SUPERSET_CELERY_CONCURRENCY:-2}" --without-gossip --without-mingle "$@"
}

run_warmer() {
  # A worker of its own for warming's queue, at the lowest priority: what it does, nobody is waiting for.
  exec nice -n 19 celery --app=superset.tasks.celery_app:app worker --pool=prefork -O fair --loglevel=INFO \
    --hostname=warm@%h --queues=superset_ext_warm --concurrency=1 --prefetch-multiplier=1 \
    --without-gossip --without-mingle
}

run_beat() {
  # No pid file: one that a killed container left behind would keep beat from starting again.
  exec celery --app=superset.tasks.celery_app:app beat --loglevel=INFO --pidfile= \
    --schedule="${SUPERSET_BEAT_SCHEDULE:-/tmp/celerybeat-schedule}"
}

run_worker_beat() {
  run_worker -B --schedule-filename="${SUPERSET_BEAT_SCHEDULE:-/tmp/celerybeat-schedule}"
}

run_listener() {
  # Hears of changes in watched tables at their commit; see superset perf watch.
  exec superset perf listen
}

[ $# -eq 1 ] || usage
case $1 in
  init | web | worker | warmer | beat | worker-beat | listener) ;;
  *) usage ;;
esac
settle
"run_${1//-/_}"
