#!/bin/sh
# Checks types and style of the page with the packages of package-lock.json, which it installs into the directory $1.
# Without npm it skips the checks; with REQUIRE_BROWSER=1 it fails instead.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
packages=$(cd "$1" && pwd)

if ! command -v npm >/dev/null; then
    echo "    skipped: npm is not installed"
    test "${REQUIRE_BROWSER:-}" != 1
    exit
fi
if ! cmp -s "$here/package-lock.json" "$packages/installed.json"; then
    cp "$here/package.json" "$here/package-lock.json" "$packages"
    # Not `npm ci`, which rejects a lock without the binaries of every other platform.
    (cd "$packages" && npm install --ignore-scripts --no-audit --no-fund --loglevel=error)
    cp "$here/package-lock.json" "$packages/installed.json"
fi
cd "$here/../.."
"$packages/node_modules/.bin/tsc" --project tests/web/tsconfig.json
"$packages/node_modules/.bin/biome" check --config-path=tests/web run_agent/web
