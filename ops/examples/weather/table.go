// Package weather checks what the example's four nodes have written: it makes
// every partition again, straight from the file of all days and in whole
// numbers, and compares byte for byte.
package weather

import (
	_ "embed"
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// CSV is Seattle's daily weather from 2012-01-01 to 2015-12-31.
//
//go:embed data/seattle-weather.csv
var CSV string

// Tables are the tables that the nodes write, by their node's id.
var Tables = []string{"weather_ingest", "weather_clean", "weather_rolling7", "weather_month_to_date"}

// day is a row of the data. Measures are in tenths.
type day struct {
	date            string // 2012-01-31
	row             []string
	rain, high, low int
}

// partition is the name of the day's folder.
func (d day) partition() string { return "dt=" + strings.ReplaceAll(d.date, "-", "") }

// mean is the day's mean temperature in hundredths of a degree.
func (d day) mean() int { return (d.high + d.low) * 5 }

func parse(text string) ([]day, error) {
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		return nil, err
	}
	var days []day
	for _, row := range rows[1:] {
		d := day{date: row[0], row: row}
		for i, measure := range []*int{&d.rain, &d.high, &d.low} {
			whole, tenth, ok := strings.Cut(row[i+1], ".")
			if *measure, err = strconv.Atoi(whole + tenth); err != nil || !ok || len(tenth) != 1 {
				return nil, fmt.Errorf("%s: %q: expected a number with one decimal", row[0], row[i+1])
			}
		}
		days = append(days, d)
	}
	return days, nil
}

// write makes the partition of a table for the i-th day.
func write(w io.Writer, table string, days []day, i int) {
	d := days[i]
	switch table {
	case "weather_ingest":
		fmt.Fprintf(w, "date,precipitation,temp_max,temp_min,wind,weather\n%s\n", strings.Join(d.row, ","))
	case "weather_clean":
		wet := 0
		if d.rain > 0 {
			wet = 1
		}
		fmt.Fprintf(w, "date,precipitation,temp_max,temp_min,temp_mean,temp_mean_f,wind,wet,weather\n%s,%s,%s,%s,%s,%s,%s,%d,%s\n",
			d.date, d.row[1], d.row[2], d.row[3], decimal(d.mean(), 2), decimal(d.mean()*9/5+3200, 2), d.row[4], wet, d.row[5])
	case "weather_rolling7":
		summary(w, days[max(0, i-6):i+1])
	case "weather_month_to_date":
		first := i
		for first > 0 && days[first-1].date[:7] == d.date[:7] {
			first--
		}
		summary(w, days[first:i+1])
	}
}

// summary is what both windows of days say.
func summary(w io.Writer, days []day) {
	rain, warmth, wet := 0, 0, 0
	high, low := days[0].high, days[0].low
	for _, d := range days {
		rain += d.rain
		warmth += d.mean()
		high, low = max(high, d.high), min(low, d.low)
		if d.rain > 0 {
			wet++
		}
	}
	fmt.Fprintf(w, "date,days,precipitation,temp_mean,temp_max,temp_min,wet_days\n%s,%d,%s,%s,%s,%s,%d\n",
		days[len(days)-1].date, len(days), decimal(rain, 1), decimal(rounded(warmth, len(days)), 2), decimal(high, 1), decimal(low, 1), wet)
}

// rounded divides, half away from zero.
func rounded(sum, n int) int {
	quotient, rest := sum/n, sum%n
	switch {
	case 2*rest >= n:
		quotient++
	case -2*rest >= n:
		quotient--
	}
	return quotient
}

// decimal writes a whole number of the last of so many decimals.
func decimal(n, places int) string {
	digits := fmt.Sprintf("%0*d", places+1, max(n, -n))
	cut := len(digits) - places
	text := digits[:cut] + "." + digits[cut:]
	if n < 0 {
		return "-" + text
	}
	return text
}
