//go:build race

package logical

// The race detector makes SQLite, which is Go here, some ten times slower.
const drillRows, drillKills = 1_000, 3
