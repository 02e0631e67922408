#!/bin/sh
# Looks for known vulnerabilities in what programs link: vulnerabilities.sh
# GOVULNCHECK PROGRAM... The database is asked over the network, or is the one that VULNDB
# names (file:///…). Where it cannot be had, nothing was checked: that is said
# aloud, and is a failure with VULNDB_REQUIRED=1. Without a network the project's own copy is
# asked (ops/vulndb), which is as old as it says.
set -eu
tool=$1
shift
copy=$(cd "$(dirname "$0")/vulndb" && pwd)
found=0
look() { out=$("$tool" ${VULNDB:+-db "$VULNDB"} -mode binary "$1" 2>&1) && status=0 || status=$?; }
for program; do
	look "$program"
	case ${VULNDB:-},$status,$out in
	,1,*"fetching vulnerabilities:"*)
		if [ -z "${VULNDB_REQUIRED:-}" ]; then
			echo "The database could not be had. The project's copy is asked: $(cat "$copy/FROM")"
			VULNDB=file://$copy/copy
			look "$program"
		fi
		;;
	esac
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
