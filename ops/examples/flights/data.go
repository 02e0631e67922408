// Package flights is an example: US flights of the first quarter of 2001, by
// hour, day and week; what its nodes must make of the raw file, computed without
// any of their code; and a run of all of it on a fleet of its own.
package flights

import (
	"embed"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"backfleet/pkg/calendar"
	"backfleet/pkg/fault"
)

//go:embed data/flights-20k.json data/airports.csv
var raw embed.FS

// The days of the data.
var (
	First = calendar.DateOf(2001, 1, 1)
	Last  = calendar.DateOf(2001, 3, 31)
)

// flight is a line of the raw file.
type flight struct {
	number   int // its place in the file, from 1
	ds, time string
	hour     int

	Date        string `json:"date"` // 2001/01/31 07:05
	Delay       int    `json:"delay"`
	Distance    int    `json:"distance"`
	Origin      string `json:"origin"`
	Destination string `json:"destination"`
}

func (f flight) route() string { return f.Origin + "-" + f.Destination }

// readFlights gives all flights by their day, yyyymmdd.
func readFlights() (map[string][]flight, error) {
	text, err := raw.ReadFile("data/flights-20k.json")
	if err != nil {
		return nil, err
	}
	var list []flight
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, err
	}
	byDay := map[string][]flight{}
	for i, f := range list {
		date, time, found := strings.Cut(f.Date, " ")
		hour, _, _ := strings.Cut(time, ":")
		f.number, f.time, f.ds = i+1, time, strings.ReplaceAll(date, "/", "")
		if f.hour, err = strconv.Atoi(hour); err != nil || !found || len(f.ds) != 8 {
			return nil, fault.New(fault.Corrupt, "flight %d: %q: expected a date and a time of the form 2001/01/31 07:05", i+1, f.Date)
		}
		byDay[f.ds] = append(byDay[f.ds], f)
	}
	return byDay, nil
}

// airport is a line of the list of airports; a city or a state that is not known
// is nil.
type airport struct {
	code, name  string
	city, state any
}

func readAirports() ([]airport, error) {
	file, err := raw.Open("data/airports.csv")
	if err != nil {
		return nil, err
	}
	defer file.Close()
	rows, err := csv.NewReader(file).ReadAll()
	if err != nil {
		return nil, err
	}
	if head := strings.Join(rows[0][:4], ","); head != "iata,name,city,state" {
		return nil, fmt.Errorf("the list of airports begins with the columns %s: expected iata, name, city, state", head)
	}
	known := func(text string) any {
		if text == "NA" {
			return nil
		}
		return text
	}
	var list []airport
	for _, r := range rows[1:] {
		list = append(list, airport{code: r[0], name: r[1], city: known(r[2]), state: known(r[3])})
	}
	return list, nil
}
