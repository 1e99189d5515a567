#!/usr/bin/env bash
# Makes the secrets of compose.yaml, each once: a second run changes nothing. The two of Stripe come from you:
#   STRIPE_SECRET_KEY=sk_test_… STRIPE_WEBHOOK_SECRET=whsec_… deploy/secrets.sh [FOLDER]
# FOLDER (default: this script's) then holds secrets/ and the .env with the database's passwords.
set -euo pipefail
cd "${1:-$(dirname "$0")}"

random() { od -An -vtx1 -N "$1" /dev/urandom | tr -d ' \n'; }

# The folder is closed to others; the files in it are not, because containers read them as a user of their own.
mkdir -p -m 700 secrets
keep() {
	[ -s "secrets/$1" ] && return
	printf '%s\n' "$2" >"secrets/$1.new"
	chmod 444 "secrets/$1.new"
	mv "secrets/$1.new" "secrets/$1"
}

if [ ! -s .env ]; then
	(umask 077 && printf 'POSTGRES_PASSWORD=%s\nREPLICATION_PASSWORD=%s\n' "$(random 24)" "$(random 24)" >.env)
fi
password=$(sed -n 's/^POSTGRES_PASSWORD=//p' .env)
keep postgres-url "postgres://fairgate:$password@postgres:5432/fairgate"

# Signing keys: number, from when, until when (0: no end), secret. `fairgate keys new` makes the next ones.
keep places "1 0 0 $(random 32)"
keep passes "1 0 0 $(random 32)"
keep receipts "1 0 0 $(random 32)"
keep network "$(random 32)"
keep guest "$(random 32)"

missing=0
for name in STRIPE_SECRET_KEY STRIPE_WEBHOOK_SECRET; do
	file=$(tr 'A-Z_' 'a-z-' <<<"$name")
	if [ -n "${!name:-}" ]; then keep "$file" "${!name}"; fi
	[ -s "secrets/$file" ] || { echo "secrets: set $name, or write it to $PWD/secrets/$file" >&2; missing=1; }
done
exit "$missing"
