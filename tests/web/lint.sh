#!/bin/sh
# Types and style of the page, by the packages that package-lock.json names, installed into the directory
# that is given. Where there is no npm this says so; with REQUIRE_BROWSER=1 it fails.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
packages=$(cd "$1" && pwd)

if ! command -v npm >/dev/null; then
    echo "    skipped: there is no npm here"
    test "${REQUIRE_BROWSER:-}" != 1
    exit
fi
if ! cmp -s "$here/package-lock.json" "$packages/installed.json"; then
    cp "$here/package.json" "$here/package-lock.json" "$packages"
    # Not `npm ci`, which refuses a lock without the programs of every other platform.
    (cd "$packages" && npm install --ignore-scripts --no-audit --no-fund --loglevel=error)
    cp "$here/package-lock.json" "$packages/installed.json"
fi
cd "$here/../.."
"$packages/node_modules/.bin/tsc" --project tests/web/tsconfig.json
"$packages/node_modules/.bin/biome" check --config-path=tests/web run_agent/web
