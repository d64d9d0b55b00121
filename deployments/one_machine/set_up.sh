#!/usr/bin/env bash
# Make the platform's environment, .venv, as the lock files say; do nothing when they have not changed.
# Usage: set_up.sh [dev]      PYTHON names another interpreter than python3.
set -euo pipefail
cd "$(dirname "$0")/../.."

fail() {
  printf 'set-up: %s\n' "$*" >&2
  exit 1
}

python=${PYTHON:-python3}
command -v "$python" >/dev/null || fail "there is no $python. Install Python 3.11 or later, or set PYTHON to one."
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
  fail "Python 3.11 or later is needed; $python is $("$python" -V 2>&1). Set PYTHON to a later one."

locks=(images/platform/requirements.lock)
if [ "${1:-}" = dev ]; then locks+=(requirements-dev.lock); fi
stamp=.venv/set-up-${1:-platform}
content=$(cat "${locks[@]}" pyproject.toml "$0" | "$python" -c 'import hashlib, sys; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())')
if [ -x .venv/bin/python ] && [ "$(cat "$stamp" 2>/dev/null)" = "$content" ]; then exit 0; fi

uv=.venv/bin/uv
if [ ! -x "$uv" ] && uv --version >/dev/null 2>&1; then uv=uv; fi
if [ ! -x .venv/bin/python ]; then
  echo "set-up: making .venv with $("$python" -V)"
  if [ "$uv" = uv ]; then
    uv venv --quiet --python "$("$python" -c 'import sys; print(sys.executable)')" .venv
  else
    "$python" -m venv .venv ||
      fail "$python cannot make a virtual environment. On Debian and Ubuntu: apt-get install python3-venv. Or install uv."
  fi
fi
if [ "$uv" != uv ] && [ ! -x "$uv" ]; then
  version=$(sed -n 's/^uv==\([^ ;]*\).*/\1/p' images/platform/requirements.lock)
  .venv/bin/python -m pip install --quiet --disable-pip-version-check "uv==$version" ||
    fail "pip could not install uv $version. Is there a way to a package index? Installing uv by other means also does."
fi

# uv does not read pip's configuration: wheels and certificates that the machine's owner named there are handed over.
# (`pip config get` of older versions does not find what `list` shows.)
configured() { "$python" -m pip config list 2>/dev/null | sed -n "s/^global\.$1='\(.*\)'\$/\1/p" || true; }
links=${PIP_FIND_LINKS:-$(configured find-links)}
if [ -n "$links" ] && [ -z "${UV_FIND_LINKS:-}" ]; then
  UV_FIND_LINKS=$(printf '%s' "$links" | tr -s '[:space:]' ',')
  export UV_FIND_LINKS
fi
certificates=${PIP_CERT:-$(configured cert)}
if [ -n "$certificates" ] && [ -z "${SSL_CERT_FILE:-}" ]; then export SSL_CERT_FILE=$certificates; fi

export VIRTUAL_ENV=$PWD/.venv
for lock in "${locks[@]}"; do "$uv" pip install --quiet --require-hashes -r "$lock"; done
"$uv" pip install --quiet --no-deps -e .
echo "$content" >"$stamp"
