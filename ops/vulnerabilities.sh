#!/bin/sh
# Looks for known vulnerabilities in what programs link: vulnerabilities.sh
# GOVULNCHECK PROGRAM... The database is asked over the network, or is the one that VULNDB
# names (file:///…). Where it cannot be had, nothing was checked: that is said
# aloud, and is a failure with VULNDB_REQUIRED=1.
set -eu
tool=$1
shift
found=0
for program; do
	status=0
	out=$("$tool" ${VULNDB:+-db "$VULNDB"} -mode binary "$program" 2>&1) || status=$?
	case $status,$out in
	0,*) echo "$(basename "$program"): no known vulnerability" ;;
	1,*"fetching vulnerabilities:"*)
		echo "NOT CHECKED FOR VULNERABILITIES: the database could not be had:" >&2
		echo "  $out" >&2
		echo "Run \`make check-deps\` where the network allows it, or set VULNDB=file:///… to a copy (ops/deploy/DESIGN.md says how to make one)." >&2
		[ -z "${VULNDB_REQUIRED:-}" ]
		exit
		;;
	*)
		echo "$out"
		found=1
		;;
	esac
done
exit $found
