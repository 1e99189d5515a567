#!/usr/bin/env bash
# Runs what needs Apache Kafka: three brokers of our own on loopback, started here and stopped at the end, however that
# comes. Usage: scripts/test-kafka.sh [suite | chaos DURATION]
#
#   suite   the event log against real brokers, bad input, takeovers, a short campaign of kills (default).
#           KILLS is how many takeovers are looked at [6], CAMPAIGN how long harm is done [40s].
#   chaos   a long campaign; it appends a line to docs/results/chaos.tsv
#
# SEED repeats the choices of an earlier run.
set -euo pipefail
cd "$(dirname "$0")/.."
what=${1:-suite}

scratch=$(mktemp -d "${TMPDIR:-/tmp}/fairgate-kafka.XXXXXX")
# The database's own user must be able to reach its folder.
chmod 755 "$scratch"
test_pid=
finish() {
	trap '' INT TERM
	[ -n "$test_pid" ] && kill "$test_pid" 2>/dev/null && wait "$test_pid" 2>/dev/null || true
	scripts/kafka.sh stop "$scratch/brokers" || true
	rm -rf "$scratch"
}
trap finish EXIT
trap 'exit 130' INT TERM

# A broker's start costs half as much without the optimising compiler; here brokers start and die, and speed is no matter.
export FAIRGATE_TEST_KAFKA_JAVA=${FAIRGATE_TEST_KAFKA_JAVA--XX:TieredStopAtLevel=1 -XX:+UseSerialGC}
export FAIRGATE_TEST_KAFKA_DIR=$scratch/brokers FAIRGATE_TEST_BINARY=$scratch/fairgate
[ -z "${SEED:-}" ] || export FAIRGATE_TEST_KILL_SEED=$SEED

step() { printf '== %s (%ss)\n' "$1" "$SECONDS"; }

step "the program and its tests"
go build -o "$FAIRGATE_TEST_BINARY" ./cmd/fairgate
go test -c -o "$scratch/eventlog.test" ./internal/eventlog
go test -c -o "$scratch/fairgate.test" ./cmd/fairgate

step "three brokers"
scripts/kafka.sh fetch
addrs=$(scripts/kafka.sh start 3 "$FAIRGATE_TEST_KAFKA_DIR" $$)

# run PACKAGE-FOLDER BINARY PATTERN TIMEOUT runs tests as a child that Ctrl-C ends with us.
run() {
	(cd "$1" && exec "$2" -test.v="${VERBOSE:-false}" -test.count=1 -test.timeout "$4" -test.run "$3") &
	test_pid=$!
	wait "$test_pid"
	test_pid=
}

case $what in
suite)
	step "the event log"
	FAIRGATE_TEST_KAFKA=$addrs FAIRGATE_TEST_KAFKA_REPLICATION=3 run internal/eventlog "$scratch/eventlog.test" . 4m
	step "processes"
	export FAIRGATE_TEST_TAKEOVERS=${KILLS:-6} FAIRGATE_TEST_CHAOS=${CAMPAIGN:-40s}
	run cmd/fairgate "$scratch/fairgate.test" '^TestKafka_' 15m
	;;
chaos)
	step "a campaign of ${2:?how long?}"
	export FAIRGATE_TEST_CHAOS=$2 FAIRGATE_TEST_CHAOS_RESULTS=$PWD/docs/results/chaos.tsv
	VERBOSE=true run cmd/fairgate "$scratch/fairgate.test" '^TestKafka_NothingAcknowledged' 0
	;;
*)
	echo "usage: scripts/test-kafka.sh [suite | chaos DURATION]" >&2
	exit 2
	;;
esac
step "done"
