#!/bin/sh
# Installs what a group of commands needs and Debian can bring; does nothing,
# quickly, where all is there.
#
#   scripts/setup.sh [demo] [test] [kafka]        default: demo
#
#   demo   postgresql (its programs: our own cluster is made elsewhere)
#   test   demo, and redis-server, chromium, nginx, npm; into .tools: stripe-mock, by
#          Go, and axe-core, the checker of accessibility, by npm
#   kafka  a Java runtime (17 or newer) and maven, for scripts/kafka.sh
#
# Nothing that it installs is started or left to start at boot, and services
# that were there before are not touched.
set -eu

say() { echo "setup: $*" >&2; }

have_postgres() {
	for dir in $(dirname "$(readlink -f "$(command -v postgres || echo /nonexistent)")") /usr/lib/postgresql/*/bin; do
		[ -x "$dir/initdb" ] && [ -x "$dir/postgres" ] && return 0
	done
	return 1
}

have_java() {
	command -v java >/dev/null || return 1
	major=$(java -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p' | head -n 1)
	[ "${major:-0}" -ge 17 ]
}

have() {
	case $1 in
	postgresql) have_postgres ;;
	default-jre-headless) have_java ;;
	maven) command -v mvn >/dev/null ;;
	nginx) command -v nginx >/dev/null || [ -x /usr/sbin/nginx ] ;;
	*) command -v "$1" >/dev/null ;;
	esac
}

wanted() {
	for group in "$@"; do
		case $group in
		demo) echo postgresql ;;
		test) echo postgresql redis-server chromium nginx npm ;;
		kafka) echo default-jre-headless maven ;;
		*)
			say "unknown group '$group'; known are demo, test, kafka"
			exit 2
			;;
		esac
	done
}

as_root() {
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	else
		sudo "$@"
	fi
}

# A policy of 101 keeps packages from starting their services while they are
# installed (invoke-rc.d(8)); one that is there already is respected.
policy=/usr/sbin/policy-rc.d
policy_is_ours=no

forbid_services() {
	[ -e "$policy" ] && return
	printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
	policy_is_ours=yes
	as_root chmod 755 "$policy"
}

allow_services() {
	if [ "$policy_is_ours" = yes ]; then
		as_root rm -f "$policy"
		policy_is_ours=no
	fi
}

# Not at the next boot either. Without systemd there is nobody to start them.
disable_service() {
	if [ -d /run/systemd/system ]; then
		as_root systemctl disable --now "$1" >/dev/null 2>&1 || true
	fi
}

install() {
	as_root env DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet --no-install-recommends "$@" >&2
}

# Stripe's schema, as the program that Stripe makes of it. Its version is the
# one that our tests were written against.
stripe_mock=v0.203.0

have_stripe_mock() {
	[ -x "$1/stripe-mock" ] && go version -m "$1/stripe-mock" | grep -q "github.com/stripe/stripe-mock[[:space:]]*$stripe_mock"
}

install_stripe_mock() {
	case " $* " in *" test "*) ;; *) return 0 ;; esac
	tools=$(cd "$(dirname "$0")/.." && pwd)/.tools
	have_stripe_mock "$tools" && return 0
	say "installing stripe-mock $stripe_mock"
	mkdir -p "$tools"
	GOBIN=$tools GOFLAGS= go install "github.com/stripe/stripe-mock@$stripe_mock"
}

# The rules by which browser tests judge our pages. Nothing of it is served.
axe_core=4.14.1

install_axe() {
	case " $* " in *" test "*) ;; *) return 0 ;; esac
	axe=$(cd "$(dirname "$0")/.." && pwd)/.tools/axe
	grep -qs "\"version\": \"$axe_core\"" "$axe/node_modules/axe-core/package.json" && return 0
	say "installing axe-core $axe_core"
	mkdir -p "$axe"
	npm install --prefix "$axe" --no-save --ignore-scripts --no-audit --no-fund --silent "axe-core@$axe_core" >&2
}

main() {
	[ $# -gt 0 ] || set -- demo
	install_packages "$@"
	install_stripe_mock "$@"
	install_axe "$@"
}

install_packages() {
	packages=$(wanted "$@")
	missing=
	for package in $packages; do
		have "$package" || missing="$missing $package"
	done
	[ -n "$missing" ] || return 0

	if ! command -v apt-get >/dev/null; then
		say "missing:$missing; no apt-get here: install them by this system's means"
		exit 1
	fi
	if [ "$(id -u)" -ne 0 ] && ! command -v sudo >/dev/null; then
		say "missing:$missing; run as root: scripts/setup.sh $*"
		exit 1
	fi
	say "installing$missing"
	trap allow_services EXIT INT TERM
	forbid_services
	# shellcheck disable=SC2086 # a list of words
	if ! install $missing; then
		say "refreshing the package lists and trying again"
		as_root apt-get update --quiet >&2
		install $missing
	fi
	allow_services
	for package in $missing; do
		case $package in
		postgresql | redis-server | nginx) disable_service "$package" ;;
		esac
		have "$package" || {
			say "$package is installed, but its program is not found"
			exit 1
		}
	done
}

main "$@"
