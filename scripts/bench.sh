#!/usr/bin/env bash
# Runs the benchmarks and prints lines "bench NAME VALUE UNIT" and "ratio NAME VALUE". ONLY=prefix runs those whose name
# begins so. A Go benchmark publishes itself by b.ReportMetric(value, "bench:NAME:UNIT") or "ratio:NAME".
set -euo pipefail
cd "$(dirname "$0")/.."
only=${ONLY:-.}
[ "$only" = . ] && only=

# Only packages that have such a benchmark are compiled.
packages=$(grep -rlE '"(bench|ratio):'"$only" --include='*_test.go' . | xargs -r -n1 dirname | sort -u)
[ -n "$packages" ] || { echo "no benchmark's name begins with \"$only\"" >&2; exit 1; }
# shellcheck disable=SC2086 # the list of packages is meant to be split
go test -run '^$' -bench . -benchtime "${BENCHTIME:-2s}" $packages | awk -v only="$only" '
	/^Benchmark/ {
		for (i = 3; i < NF; i += 2) {
			n = split($(i + 1), part, ":")
			if (n < 2 || index(part[2], only) != 1) continue
			if (part[1] == "bench") printf "bench %s %s %s\n", part[2], $i, part[3]
			if (part[1] == "ratio") printf "ratio %s %s\n", part[2], $i
		}
		fflush()
	}
	/^(FAIL|---)/ { print > "/dev/stderr"; bad = 1 }
	END { exit bad }'
