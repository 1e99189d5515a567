#!/usr/bin/env bash
# Rehearses a sale on real engines: Apache Kafka, Debian's redis-server and PostgreSQL, all on loopback, started here and
# stopped at the end. Usage: scripts/rehearse-real.sh [FANS] [BROKERS]
set -euo pipefail
cd "$(dirname "$0")/.."
fans=${1:-500}
brokers=${2:-1}

# The database's own user must be able to reach its folder, so the scratch is below the temporary folder.
scratch=$(mktemp -d "${TMPDIR:-/tmp}/fairgate-real.XXXXXX")
chmod 755 "$scratch"
redis_pid=
pg_started=
finish() {
	[ -n "$redis_pid" ] && kill "$redis_pid" 2>/dev/null && wait "$redis_pid" 2>/dev/null || true
	[ -n "$pg_started" ] && as_postgres "$pgbin/pg_ctl" -D "$scratch/pg" -m immediate stop >/dev/null 2>&1 || true
	scripts/kafka.sh stop "$scratch/kafka" >/dev/null 2>&1 || true
	rm -rf "$scratch"
}
trap finish EXIT

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])' 2>/dev/null || shuf -i 20000-40000 -n 1; }
as_postgres() { if [ "$(id -u)" = 0 ]; then (cd / && setpriv --reuid postgres --regid postgres --init-groups "$@"); else "$@"; fi; }

scripts/kafka.sh fetch >/dev/null
scripts/kafka.sh start "$brokers" "$scratch/kafka" >/dev/null
kafka=$(scripts/kafka.sh addrs "$scratch/kafka")

redis_port=$(free_port)
redis-server --port "$redis_port" --bind 127.0.0.1 --save '' --appendonly no --dir "$scratch" --logfile "$scratch/redis.log" &
redis_pid=$!

pgbin=$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -1)
pg_port=$(free_port)
install -d "$scratch/pg"
[ "$(id -u)" = 0 ] && chown postgres "$scratch/pg"
as_postgres "$pgbin/initdb" -D "$scratch/pg" -U fairgate --auth trust --no-sync -E UTF8 --locale C.UTF-8 >/dev/null
as_postgres "$pgbin/pg_ctl" -D "$scratch/pg" -l "$scratch/pg/log" -w -o "-p $pg_port -c listen_addresses=127.0.0.1 -c unix_socket_directories=$scratch/pg -c max_connections=200" start >/dev/null
pg_started=1

bin/fairgate demo --rehearse "$fans" --json \
	--kafka "$kafka" --redis "redis://127.0.0.1:$redis_port/0" \
	--postgres "postgres://fairgate@127.0.0.1:$pg_port/postgres"
