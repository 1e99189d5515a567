// Package bench measures what crosses packages: an engine with the stock machine over Apache Kafka, a relay beside it that
// decides nothing, and the usual ways of holding stock in Postgres. It holds benchmarks only; they start what they need
// (brokers on loopback, a database in a folder of their own) and end it.
package bench
