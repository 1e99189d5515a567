#!/bin/bash
# Copies the primary once, then follows it for good. The copy is made in a folder of its own and moved into place, its
# PG_VERSION last, so that one cut short is never taken for a whole one.
set -euo pipefail
copy="$PGDATA/.copy"
if [ ! -s "$PGDATA/PG_VERSION" ]; then
	find "$PGDATA" -mindepth 1 -delete
	until pg_basebackup --pgdata "$copy" --write-recovery-conf --wal-method stream --checkpoint fast \
		--dbname "host=postgres user=replicator application_name=standby"; do
		rm -rf "$copy"
		sleep 2
	done
	# PG_VERSION last: it is what says that the copy is whole.
	find "$copy" -mindepth 1 -maxdepth 1 ! -name PG_VERSION -exec mv -t "$PGDATA" {} +
	mv "$copy/PG_VERSION" "$PGDATA/PG_VERSION"
	rmdir "$copy"
fi
chmod 700 "$PGDATA"
exec postgres
