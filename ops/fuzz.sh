#!/bin/sh
# Runs the module's fuzz targets one after the other: fuzz.sh TIME [NAME]. What it finds stays
# as a seed under the package's testdata/fuzz, and ends it.
set -eu
cd "$(dirname "$0")/.."
go=${GO:-go}
grep -rlE --include='*_test.go' '^func Fuzz[A-Z]' agent api coordinator ops pkg | xargs -n1 dirname | sort -u | while read -r folder; do
	sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\).*/\1/p' "$folder"/*_test.go | while read -r target; do
		[ -z "${2:-}" ] || [ "$2" = "$target" ] || continue
		echo "== $folder $target for $1"
		"$go" test -run '^$' -fuzz "^$target\$" -fuzztime "$1" -fuzzminimizetime 2s "./$folder" </dev/null
	done
done
