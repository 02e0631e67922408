# The day's row, out of the file with all days.
set -eu

# trace notes the start or the end of this attempt in a file that the checker
# reads, if one is asked for: one line, one small write.
trace() {
	[ -z "$TRACE_FILE" ] || echo "$1 $BACKFLEET_INSTANCE $BACKFLEET_ATTEMPT $BACKFLEET_FENCE $BACKFLEET_NODE ${dt}" >>"$TRACE_FILE"
}
trace start
trap 'trace end' EXIT

folder=$WAREHOUSE/weather_ingest/dt=${dt}
new=$folder/.part.$BACKFLEET_FENCE
[ -d "$folder" ] || mkdir -p "$folder"

awk -F, -v day=${day} '
NR == 1 { print }
$1 == day { print; found = 1; exit }
END {
	if (!found) {
		print "there is no row for " day " in " FILENAME | "cat 1>&2"
		exit 1
	}
}' "$WEATHER_CSV" >"$new" || { rm -f "$new"; exit 1; }
mv -f "$new" "$folder/part.csv"
