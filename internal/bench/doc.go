// Package bench measures what crosses packages: an engine with the stock machine over Apache Kafka, a relay beside it that
// decides nothing, and the usual ways of holding stock in Postgres. It holds benchmarks only; they start what they need
// (brokers on loopback, a database in a folder of their own) and end it.
//
// What is compared is measured by turns in one run, so that whatever else the machine does meets both. Beside rates there
// is processor time for each command, ours and the brokers', which says what an idle machine could do.
//
// FAIRGATE_BENCH_KAFKA_DIR names a cluster that scripts/kafka.sh has started and that is used instead, and kept: its
// brokers are warm. FAIRGATE_BENCH_CALLERS is how many commands wait for their outcomes at once (8,000).
package bench
