#!/usr/bin/env bash
# Runs the benchmarks and prints lines "bench NAME VALUE UNIT" and "ratio NAME VALUE". ONLY=prefix runs those whose name
# begins so. A Go benchmark publishes itself by b.ReportMetric(value, "bench:NAME:UNIT") or "ratio:NAME".
set -euo pipefail
cd "$(dirname "$0")/.."
only=${ONLY:-.}
[ "$only" = . ] && only=

# Lines "PACKAGE BENCHMARK", one for each that publishes a wanted name; nothing else is compiled or run.
wanted=$(grep -rlE '"(bench|ratio):' --include='*_test.go' . | xargs -r awk -v only="$only" '
	/^func Benchmark/ { name = $2; sub(/\(.*/, "", name) }
	match($0, /"(bench|ratio):[^":]+/) {
		metric = substr($0, RSTART + 1, RLENGTH - 1)
		sub(/^[a-z]+:/, "", metric)
		if (index(metric, only) == 1) { dir = FILENAME; sub(/\/[^\/]*$/, "", dir); print dir, name }
	}' | sort -u)
[ -n "$wanted" ] || { echo "no benchmark's name begins with \"$only\"" >&2; exit 1; }

# What runs against Apache Kafka starts it by itself.
if grep -q internal/bench <<<"$wanted"; then scripts/setup.sh demo kafka; fi

# One package after the other: two at once would measure each other.
for package in $(cut -d' ' -f1 <<<"$wanted" | uniq); do
	names=$(awk -v p="$package" '$1 == p { print $2 }' <<<"$wanted" | paste -sd'|')
	go test -run '^$' -timeout 30m -bench "^($names)\$" -benchtime "${BENCHTIME:-2s}" "$package"
done | awk -v only="$only" '
	/^Benchmark/ {
		for (i = 3; i < NF; i += 2) {
			n = split($(i + 1), part, ":")
			if (n < 2 || index(part[2], only) != 1) continue
			if (part[1] == "bench") printf "bench %s %s %s\n", part[2], $i, part[3]
			if (part[1] == "ratio") printf "ratio %s %s\n", part[2], $i
		}
		fflush()
	}
	/^(FAIL|--- FAIL|panic:)/ { bad = 1 }
	bad { print > "/dev/stderr" } # what went wrong stands behind it
	END { exit bad }'
