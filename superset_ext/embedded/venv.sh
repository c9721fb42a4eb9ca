#!/bin/sh
# Makes the repository's .venv from one of its lock files (requirements.txt by default). It does nothing while that
# file stays the same. PYTHON names a Python 3.11 that is not on the path.
set -eu
cd "$(dirname "$0")/../.."
lock=${1:-requirements.txt}
UV="uv==0.13.8" # the lock leaves nothing to resolve; uv downloads in parallel: 15 s where pip takes two minutes

fail() {
  echo "superset_ext: $1" >&2
  exit 1
}

find_python() {
  for python in ${PYTHON:+"$PYTHON"} python3.11 python3 python; do
    if "$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then
      return
    fi
  done
  fail "Python 3.11 was not found; install it (Debian 12: apt-get install python3.11-venv, macOS: brew install python@3.11) or name it: make PYTHON=/path/to/python3.11"
}

make_venv() {
  find_python
  "$python" -c 'import ensurepip, venv' 2>/dev/null ||
    fail "$python has no venv module; run: apt-get install python3.11-venv"
  echo "Making .venv with $("$python" --version) …"
  rm -rf .venv
  "$python" -m venv .venv
}

install_lock() {
  echo "Installing what $lock names into .venv …"
  .venv/bin/python -m pip install --quiet --disable-pip-version-check "$UV"
  # Where only pip is configured for the index or the proxy, uv fails and pip does it.
  .venv/bin/uv pip install --quiet --python .venv/bin/python -r "$lock" ||
    .venv/bin/python -m pip install --quiet --disable-pip-version-check -r "$lock" ||
    fail "the packages could not be installed, see above; check the network and the disk, then run the same again"
}

now=$(cksum <"$lock")
if [ "$(cat ".venv/$lock.installed" 2>/dev/null)" = "$now" ]; then
  exit 0
fi
if ! .venv/bin/python -c 'import pip' 2>/dev/null; then
  make_venv
fi
rm -f .venv/*.installed # only the lock that was installed last counts
install_lock
echo "$now" >".venv/$lock.installed"
if [ "$lock" = requirements-dev.txt ]; then # it holds all of the other one, at the same versions
  cksum <requirements.txt >.venv/requirements.txt.installed
fi
