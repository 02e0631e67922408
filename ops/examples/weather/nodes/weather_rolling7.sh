# The seven days that end with this one; the first days of the data use the days
# there are. A missing day is an error.
set -eu

# trace notes the start or the end of this attempt in a file that the checker
# reads, if one is asked for: one line, one small write.
trace() {
	[ -z "$TRACE_FILE" ] || echo "$1 $BACKFLEET_INSTANCE $BACKFLEET_ATTEMPT $BACKFLEET_FENCE $BACKFLEET_NODE ${dt}" >>"$TRACE_FILE"
}
trace start
trap 'trace end' EXIT

folder=$WAREHOUSE/weather_rolling7/dt=${dt}
new=$folder/.part.$BACKFLEET_FENCE
[ -d "$folder" ] || mkdir -p "$folder"

awk -v first=${first} -v days_wanted='${week}' '
# number reads a decimal as a whole number of its last digit: 12.80 is 1280.
function number(x) { sub(/\./, "", x); return x + 0 }
# tenths and hundredths write 128 as 12.8 and 1280 as 12.80.
function tenths(n,    sign) {
	sign = ""
	if (n < 0) { sign = "-"; n = -n }
	return sprintf("%s%d.%d", sign, int(n / 10), n % 10)
}
function hundredths(n,    sign) {
	sign = ""
	if (n < 0) { sign = "-"; n = -n }
	return sprintf("%s%d.%02d", sign, int(n / 100), n % 100)
}
# mean divides and rounds half away from zero, in whole numbers.
function mean(sum, n) {
	if (sum < 0) return -int((-2 * sum + n) / (2 * n))
	return int((2 * sum + n) / (2 * n))
}
# add takes in one day of weather_clean; a day before the data is none.
function add(dt,    file, line, v) {
	if (dt < first) return
	file = ENVIRON["WAREHOUSE"] "/weather_clean/dt=" dt "/part.csv"
	if ((getline line < file) <= 0 || (getline line < file) <= 0) {
		print "weather_clean has no partition dt=" dt ": run it first (" file ")" | "cat 1>&2"
		exit 1
	}
	close(file)
	split(line, v, ",")
	rain += number(v[2]); warmth += number(v[5])
	if (days == 0 || number(v[3]) > high) high = number(v[3])
	if (days == 0 || number(v[4]) < low) low = number(v[4])
	wet += v[8]
	days++
	date = v[1]
}
BEGIN {
	wanted = split(days_wanted, dt, " ")
	for (i = 1; i <= wanted; i++) add(dt[i])
	print "date,days,precipitation,temp_mean,temp_max,temp_min,wet_days"
	print date "," days "," tenths(rain) "," hundredths(mean(warmth, days)) "," tenths(high) "," tenths(low) "," wet
}' >"$new" || { rm -f "$new"; exit 1; }
mv -f "$new" "$folder/part.csv"
