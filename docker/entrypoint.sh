#!/usr/bin/env bash
# Starts one part of Superset, in the image, in Compose and in the embedded stack.
# It runs with bash 3.2 (macOS) and later. The package, sql/ and superset_config.py lie beside this folder.
set -eu

usage() {
  echo "usage: entrypoint.sh init|web|worker|warmer|beat|worker-beat|listener" >&2
  exit 64 # EX_USAGE
}

prepare() {
  root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
  export PYTHONPATH="${PYTHONPATH:+$PYTHONPATH:}$root" # last, so that the user's own superset_config wins
  # On macOS, a forked Python dies when a library (here the look-up of the system's proxy) has used Objective-C.
  if [ "$(uname -s)" = Darwin ]; then
    export OBJC_DISABLE_INITIALIZE_FORK_SAFETY=YES
  fi
  python -m superset_ext.settings # ends with one line and status 1 on a wrong setting, before anything costly starts
}

create_admin() {
  if [ -z "${SUPERSET_ADMIN_PASSWORD:-}" ]; then
    echo "No administrator is made: SUPERSET_ADMIN_PASSWORD is not set."
    return
  fi
  # Flask takes any option from FLASK_<COMMAND>_<OPTION>, so the password shows in no list of processes.
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
  # On a disk, gunicorn's heartbeat file can block a worker for seconds. macOS has no /dev/shm.
  if [ -d /dev/shm ] && [ -w /dev/shm ]; then
    set -- --worker-tmp-dir /dev/shm
  else
    set --
  fi
  # No --max-requests, since a new worker costs nine seconds of CPU. No limit on request lines, since Explore's are long.
  exec gunicorn --bind "${SUPERSET_BIND:-0.0.0.0}:${SUPERSET_PORT:-8088}" \
    --worker-class gthread --workers "${SUPERSET_WORKERS:-2}" --threads "${SUPERSET_THREADS:-4}" \
    --timeout 120 --graceful-timeout 30 --keep-alive 5 \
    --limit-request-line 0 --limit-request-field_size 0 \
    --access-logfile - --error-logfile - "$@" "superset.app:create_app()"
}

run_worker() {
  # Without gossip and mingle: nothing here listens to other workers, and both send messages all day.
  # Warming's queue has a worker of its own, the warmer.
  exec celery --app=superset.tasks.celery_app:app worker --pool=prefork -O fair --loglevel=INFO \
    --queues=celery --concurrency="${SUPERSET_CELERY_CONCURRENCY:-2}" --without-gossip --without-mingle "$@"
}

run_warmer() {
  # Warming's queue has this worker alone, at the lowest priority, since nobody waits for what it does.
  exec nice -n 19 celery --app=superset.tasks.celery_app:app worker --pool=prefork -O fair --loglevel=INFO \
    --hostname=warm@%h --queues=superset_ext_warm --concurrency=1 --prefetch-multiplier=1 \
    --without-gossip --without-mingle
}

run_beat() {
  # No pid file: a killed container would leave one behind, which keeps beat from starting again.
  exec celery --app=superset.tasks.celery_app:app beat --loglevel=INFO --pidfile= \
    --schedule="${SUPERSET_BEAT_SCHEDULE:-/tmp/celerybeat-schedule}"
}

run_worker_beat() {
  run_worker -B --schedule-filename="${SUPERSET_BEAT_SCHEDULE:-/tmp/celerybeat-schedule}"
}

run_listener() {
  # Receives changes of watched tables at their commit; see superset perf watch.
  exec superset perf listen
}

[ $# -eq 1 ] || usage
case $1 in
  init | web | worker | warmer | beat | worker-beat | listener) ;;
  *) usage ;;
esac
prepare
"run_${1//-/_}"
