# The day cleaned: mean temperature in Celsius and Fahrenheit, and whether it was
# wet. All arithmetic is in whole tenths and hundredths, so that it is exact.
set -eu

# trace notes the start or the end of this attempt in a file that the checker
# reads, if one is asked for: one line, one small write.
trace() {
	[ -z "$TRACE_FILE" ] || echo "$1 $BACKFLEET_INSTANCE $BACKFLEET_ATTEMPT $BACKFLEET_FENCE $BACKFLEET_NODE ${dt}" >>"$TRACE_FILE"
}
trace start
trap 'trace end' EXIT

folder=$WAREHOUSE/weather_clean/dt=${dt}
new=$folder/.part.$BACKFLEET_FENCE
[ -d "$folder" ] || mkdir -p "$folder"

awk -F, '
# number reads a decimal as a whole number of its last digit: 12.80 is 1280.
function number(x) { sub(/\./, "", x); return x + 0 }
# hundredths writes 1280 as 12.80.
function hundredths(n,    sign) {
	sign = ""
	if (n < 0) { sign = "-"; n = -n }
	return sprintf("%s%d.%02d", sign, int(n / 100), n % 100)
}
NR == 1 { print "date,precipitation,temp_max,temp_min,temp_mean,temp_mean_f,wind,wet,weather" }
NR == 2 {
	mean = (number($3) + number($4)) * 5 # of tenths, in hundredths
	print $1 "," $2 "," $3 "," $4 "," hundredths(mean) "," hundredths(mean / 5 * 9 + 3200) "," $5 "," ($2 > 0) "," $6
	found = 1
}
END {
	if (!found) {
		print "weather_ingest has no row in " FILENAME | "cat 1>&2"
		exit 1
	}
}' "$WAREHOUSE/weather_ingest/dt=${dt}/part.csv" >"$new" || { rm -f "$new"; exit 1; }
mv -f "$new" "$folder/part.csv"
