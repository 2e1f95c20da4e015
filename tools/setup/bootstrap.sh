#!/bin/sh
# Finds a Python that can make virtual environments (on a bare Debian or Ubuntu: installs one when it may) and hands
# over to setup.py, with the same arguments. Everything it says goes to stderr.
set -eu
here=$(cd "$(dirname "$0")" && pwd)

find_python() {
    for name in python3 /usr/bin/python3 python3.13 python3.12 python3.11 python3.10 python3.9; do
        if "$name" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 9))' >/dev/null 2>&1; then
            echo "$name"
            return 0
        fi
    done
    return 1
}

if ! python=$(find_python); then
    install="apt-get install -y --no-install-recommends python3 python3-venv"
    if command -v apt-get >/dev/null 2>&1; then
        sudo=none
        if [ "$(id -u)" = 0 ]; then sudo=""; elif sudo -n true >/dev/null 2>&1; then sudo="sudo -n"; fi
        if [ "$sudo" != none ]; then
            echo "Installing Python: $install" >&2
            export DEBIAN_FRONTEND=noninteractive
            $sudo apt-get update -q >&2 </dev/null || true
            $sudo $install >&2 </dev/null || true
        fi
    fi
    if ! python=$(find_python); then
        echo "Python 3.9 or later with venv is missing. Run this once: sudo $install" >&2
        exit 3
    fi
fi
exec "$python" -B "$here/setup.py" "$@"
