#!/usr/bin/env bash
# Brings Apache Kafka and runs it on loopback, for tests and rehearsals.
#
#   scripts/kafka.sh fetch            jars into .tools/kafka, through maven
#   scripts/kafka.sh start N DIR [OWNER]
#                                     N (1 or 3) brokers with their data in DIR;
#                                     with OWNER, a process id, they end soon
#                                     after that process does, however it does
#   scripts/kafka.sh addrs DIR        their addresses, host:port,host:port,…
#   scripts/kafka.sh pid DIR I        process id of broker I (1…N)
#   scripts/kafka.sh stop DIR         ends them; a later start finds the data
#
# start prints the addresses once every broker answers. Brokers that run
# already are left alone, so start also brings back one that was killed.
# Their ports are chosen when DIR is made, and kept: free ones, or those from
# FAIRGATE_TEST_KAFKA_PORT on (two for each broker). FAIRGATE_TEST_KAFKA_HEAP (512m) is
# the heap of each, FAIRGATE_TEST_KAFKA_JAVA what else its java is told; with
# "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC" a start costs half the work, and
# much of the speed later.
# Needs Java 17 or newer (scripts/setup.sh kafka).
set -euo pipefail

version=4.3.0
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
tools=$root/.tools/kafka
libs=$tools/libs-$version
heap=${FAIRGATE_TEST_KAFKA_HEAP:-512m}
read -ra options <<<"${FAIRGATE_TEST_KAFKA_JAVA:-}"
start_seconds=90
stop_seconds=30

die() {
	echo "kafka: $*" >&2
	exit 1
}

fetch() {
	[ -e "$libs/complete" ] && return
	command -v mvn >/dev/null || die "maven is missing: scripts/setup.sh kafka installs it"
	local work
	work=$(mktemp -d)
	trap 'rm -rf "$work"' RETURN
	cat >"$work/pom.xml" <<-POM
		<project xmlns="http://maven.apache.org/POM/4.0.0">
		  <modelVersion>4.0.0</modelVersion>
		  <groupId>fairgate</groupId>
		  <artifactId>kafka</artifactId>
		  <version>1</version>
		  <packaging>pom</packaging>
		  <dependencies>
		    <dependency>
		      <groupId>org.apache.kafka</groupId>
		      <artifactId>kafka_2.13</artifactId>
		      <version>$version</version>
		    </dependency>
		    <dependency>
		      <groupId>org.apache.logging.log4j</groupId>
		      <artifactId>log4j-slf4j-impl</artifactId>
		      <version>2.25.3</version>
		    </dependency>
		  </dependencies>
		</project>
	POM
	mkdir -p "$libs"
	mvn --batch-mode --quiet -Dstyle.color=never --file "$work/pom.xml" dependency:copy-dependencies \
		-DincludeScope=runtime -DoutputDirectory="$libs" >&2 || die "maven could not bring kafka $version"
	cat >"$tools/log4j2.properties" <<-'LOG'
		status = error
		appender.out.type = Console
		appender.out.name = out
		appender.out.layout.type = PatternLayout
		appender.out.layout.pattern = %d{ISO8601} %p %m (%c)%n
		rootLogger.level = INFO
		rootLogger.appenderRef.out.ref = out
	LOG
	touch "$libs/complete"
}

java_run() { java "-Xmx$heap" -XX:TieredStopAtLevel=1 -XX:+UseSerialGC "-Dlog4j2.configurationFile=$tools/log4j2.properties" -cp "$libs/*" "$@"; }

# alive tells whether broker I of DIR runs: its pid must be a java that was
# given this very folder's configuration.
alive() {
	local dir=$1 i=$2 pid
	pid=$(cat "$dir/$i/pid" 2>/dev/null) || return 1
	[ -r "/proc/$pid/cmdline" ] && tr '\0' '\n' <"/proc/$pid/cmdline" | grep -qxF "$dir/$i/server.properties"
}

answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# ports looks for count ports in a row that nobody answers on, below the range
# that the kernel gives to clients.
ports() {
	local count=$1 base i
	if [ -n "${FAIRGATE_TEST_KAFKA_PORT:-}" ]; then
		for ((i = 0; i < count; i++)); do
			if answers $((FAIRGATE_TEST_KAFKA_PORT + i)); then
				die "port $((FAIRGATE_TEST_KAFKA_PORT + i)) is in use: set FAIRGATE_TEST_KAFKA_PORT to the first of $count free ones, or leave it out"
			fi
		done
		echo "$FAIRGATE_TEST_KAFKA_PORT"
		return
	fi
	for _ in $(seq 100); do
		base=$((10000 + RANDOM % 20000))
		for ((i = 0; i < count; i++)); do
			if answers $((base + i)); then continue 2; fi
		done
		echo "$base"
		return
	done
	die "found no free ports"
}

# prepare writes the configuration of N brokers and formats their storage. What
# differs from the defaults makes a dead broker noticed: by the controller, whose
# clock starts anew when it was the controller that died; and by a follower that
# knows of the new leader before that does itself, which by default sleeps for a
# second while nobody's records are acknowledged.
prepare() {
	local n=$1 dir=$2 base id voters i
	base=$(ports $((2 * n)))
	# A leading dash would look like an option.
	id=A$(head -c 16 /dev/urandom | base64 | tr '+/' '-_' | cut -c 1-20)A
	voters=$(for ((i = 1; i <= n; i++)); do printf '%s%d@127.0.0.1:%d' "${voters+,}" "$i" $((base + n + i - 1)); voters=; done)
	for ((i = 1; i <= n; i++)); do
		mkdir -p "$dir/$i"
		cat >"$dir/$i/server.properties" <<-PROPERTIES
			process.roles=broker,controller
			node.id=$i
			controller.quorum.voters=$voters
			controller.listener.names=CONTROLLER
			listeners=PLAINTEXT://127.0.0.1:$((base + i - 1)),CONTROLLER://127.0.0.1:$((base + n + i - 1))
			advertised.listeners=PLAINTEXT://127.0.0.1:$((base + i - 1))
			listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
			log.dirs=$dir/$i/data
			auto.create.topics.enable=false
			offsets.topic.replication.factor=$n
			transaction.state.log.replication.factor=$n
			transaction.state.log.min.isr=1
			broker.session.timeout.ms=1500
			broker.heartbeat.interval.ms=300
			controller.quorum.election.timeout.ms=500
			controller.quorum.fetch.timeout.ms=1000
			replica.lag.time.max.ms=3000
			replica.fetch.backoff.ms=100
		PROPERTIES
		java_run kafka.tools.StorageTool format -t "$id" -c "$dir/$i/server.properties" >"$dir/$i/format.log" 2>&1 ||
			die "formatting failed: $(tail -n 3 "$dir/$i/format.log")"
		echo $((base + i - 1)) >"$dir/$i/port"
	done
	echo "$n" >"$dir/brokers"
}

start() {
	local n=$1 dir i
	[[ $n == 1 || $n == 3 ]] || die "start takes 1 or 3 brokers, not $n"
	fetch
	mkdir -p "$2"
	dir=$(cd "$2" && pwd)
	[ -e "$dir/brokers" ] || prepare "$n" "$dir"
	[ "$(cat "$dir/brokers")" = "$n" ] || die "$dir holds a cluster of $(cat "$dir/brokers") brokers, not $n"
	for ((i = 1; i <= n; i++)); do
		alive "$dir" "$i" && continue
		: >"$dir/$i/server.log"
		# In a session of its own: Ctrl-C in the terminal is not for it.
		setsid java "-Xmx$heap" "${options[@]}" "-Dlog4j2.configurationFile=$tools/log4j2.properties" -cp "$libs/*" \
			kafka.Kafka "$dir/$i/server.properties" </dev/null >>"$dir/$i/server.log" 2>&1 &
		echo $! >"$dir/$i/pid"
		disown
	done
	[ -z "${3:-}" ] || guard "$dir" "$3"
	for ((i = 1; i <= n; i++)); do await "$dir" "$i"; done
	addrs "$dir"
}

# guard stops the brokers of DIR when process OWNER is gone, or has been
# replaced by another of the same number.
guard() {
	local dir=$1 owner=$2 born
	born=$(birth "$owner")
	[ -n "$born" ] || die "there is no process $owner to own the brokers"
	(
		trap '' INT HUP
		while [ "$(birth "$owner")" = "$born" ]; do sleep 1; done
		stop "$dir"
	) </dev/null >/dev/null 2>&1 &
	disown
}

# birth is when process PID began, empty if there is none.
birth() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d ' ' -f 20; }

await() {
	local dir=$1 i=$2 port
	port=$(cat "$dir/$i/port")
	for _ in $(seq $((start_seconds * 10))); do
		if grep -q 'Kafka Server started' "$dir/$i/server.log" && answers "$port"; then return; fi
		sleep 0.1
		# setsid needs a moment to become java.
		alive "$dir" "$i" || { sleep 1; alive "$dir" "$i"; } ||
			die "broker $i ended: $(tail -n 5 "$dir/$i/server.log")"
	done
	die "broker $i does not answer on 127.0.0.1:$port after $start_seconds s; see $dir/$i/server.log"
}

addrs() {
	local dir=$1 i list=
	[ -e "$dir/brokers" ] || die "$dir holds no cluster"
	for ((i = 1; i <= $(cat "$dir/brokers"); i++)); do
		list+=${list:+,}127.0.0.1:$(cat "$dir/$i/port")
	done
	echo "$list"
}

broker_pid() {
	local dir
	dir=$(cd "$1" && pwd)
	alive "$dir" "$2" || die "broker $2 of $dir does not run"
	cat "$dir/$2/pid"
}

stop() {
	local dir i signal
	[ -e "$1/brokers" ] || return 0
	dir=$(cd "$1" && pwd)
	for signal in TERM KILL; do
		for ((i = 1; i <= $(cat "$dir/brokers"); i++)); do
			alive "$dir" "$i" && kill -s "$signal" "$(cat "$dir/$i/pid")"
		done
		for _ in $(seq $((stop_seconds * 10))); do
			running "$dir" || { rm -f "$dir"/*/pid; return 0; }
			sleep 0.1
		done
	done
	die "brokers in $dir do not stop"
}

running() {
	local dir=$1 i
	for ((i = 1; i <= $(cat "$dir/brokers"); i++)); do
		if alive "$dir" "$i"; then return 0; fi
	done
	return 1
}

case "${1:-} $#" in
"fetch 1") fetch ;;
"start 3" | "start 4") start "$2" "$3" "${4:-}" ;;
"addrs 2") addrs "$2" ;;
"pid 3") broker_pid "$2" "$3" ;;
"stop 2") stop "$2" ;;
*) die "usage: kafka.sh fetch | start N DIR [OWNER] | addrs DIR | pid DIR I | stop DIR" ;;
esac
