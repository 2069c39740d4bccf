#!/usr/bin/env bash
# Makes the virtual environment that the Makefile works in, unless it stands already, and prints its folder.
#
#   tools/environment.sh ready   make it if needed, point it at this checkout, print its folder
#   tools/environment.sh where   print its folder
#   tools/environment.sh clean   delete it
#
# The folder is named after the Python version and the tables of pyproject.toml that decide what is installed, so
# checkouts with the same dependencies share one environment and a new dependency makes a new one. Its stamp is
# written last: an environment without one was interrupted and is made again. Everything but the folder's name goes
# to standard error.
set -euo pipefail

checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
environments=${NS_TALKING_ENVS:-${XDG_CACHE_HOME:-$HOME/.cache}/ns-talking}

say() { printf '%s\n' "$*" >&2; }

fits() { "$1" -c 'import sys, venv, ensurepip; sys.exit(not (3, 10) <= sys.version_info < (3, 13))' 2>/dev/null; }

find_python() {
  local candidate
  for candidate in ${PYTHON:-python3 python3.12 python3.11 python3.10 python}; do
    if fits "$candidate"; then
      "$candidate" -c 'import sys; print(sys.executable)'
      return
    fi
  done
  say "ns-talking needs Python 3.10, 3.11 or 3.12 with its venv module; none of these is one: ${PYTHON:-python3 python3.12 python3.11 python3.10 python}."
  say "Install one (Debian, Ubuntu: apt install python3.11 python3.11-venv; macOS: brew install python@3.11; pyenv: pyenv"
  say "install 3.11 && pyenv shell 3.11), or name it: make PYTHON=/path/to/python3.11 ..."
  return 1
}

digest() { "$python" -c 'import hashlib, sys; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest()[:12])'; }

# Entry points and tool settings change without a new environment: the first only needs the quick reinstall below.
what_decides_the_packages() {
  awk '/^\[/ { keep = !/^\[(tool|project\.(scripts|entry-points))/ } keep' "$checkout/pyproject.toml"
}

install() {  # what it is, arguments of pip
  local what=$1 log="$folder.log" started=$SECONDS pid
  shift
  "$folder/bin/python" -m pip --disable-pip-version-check install --progress-bar off "$@" >>"$log" 2>&1 &
  pid=$!
  trap 'kill $pid 2>/dev/null; exit 130' INT TERM
  while kill -0 $pid 2>/dev/null; do
    sleep 1
    (((SECONDS - started) % 30)) || say "  $((SECONDS - started)) s: $(tail -n 1 "$log" | cut -c 1-100)"
  done
  trap - INT TERM
  if ! wait $pid; then
    say ""
    say "The end of $log:"
    tail -n 20 "$log" >&2
    say ""
    say "Installing $what failed. Common reasons: no network or a proxy (set HTTPS_PROXY), a full disk (10 GB are needed"
    say "in $environments and as much in the temporary folder; NS_TALKING_ENVS=DIR and TMPDIR=DIR move them), or no wheel for"
    say "this Python (try make PYTHON=python3.11 ...). Run the same command again when it is mended: downloads are kept."
    return 1
  fi
}

make_environment() {
  say "Making the environment of ns-talking once: 3 to 15 minutes, about 8 GB, in $folder (log: $folder.log)"
  rm -rf "$folder" "$folder.log"
  mkdir -p "$environments"
  "$python" -m venv "$folder"
  install "pip" --upgrade pip
  # One command for everything, so that the resolver chooses torch and torchvision as a pair. hatchling and editables
  # are what later reinstalls of the checkout build with.
  install "ns-talking" --editable "$checkout[dev]" "hatchling>=1.25" editables
}

point_at_checkout() {
  say "Pointing $folder at $checkout"
  install "this checkout" --no-deps --no-build-isolation --editable "$checkout"
}

lock() {  # one make at a time works on an environment; the lock of a process that has died is taken over
  local told=
  mkdir -p "$environments"
  until mkdir "$folder.lock" 2>/dev/null; do
    local owner
    owner=$(cat "$folder.lock/pid" 2>/dev/null || true)
    if [ -n "$owner" ] && ! kill -0 "$owner" 2>/dev/null; then
      rm -rf "$folder.lock"
      continue
    fi
    [ -n "$told" ] || say "Another process ($owner) is making $folder; waiting. If none is, delete $folder.lock"
    told=yes
    sleep 2
  done
  echo $$ >"$folder.lock/pid"
  trap 'rm -rf "$folder.lock"' EXIT
}

python=$(find_python)
version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
folder="$environments/$version-$(what_decides_the_packages | digest)"
stamp="$folder/.ns-talking"
wanted="$checkout $(digest <"$checkout/pyproject.toml")"

case ${1:-} in
  where) ;;
  clean) rm -rf "$folder" "$folder.log" ;;
  ready)
    if [ "$(cat "$stamp" 2>/dev/null || true)" != "$wanted" ]; then
      lock
      if [ -f "$stamp" ]; then point_at_checkout; else make_environment; fi
      echo "$wanted" >"$stamp"
    fi
    ;;
  *) say "usage: tools/environment.sh ready|where|clean" && exit 2 ;;
esac
echo "$folder"
