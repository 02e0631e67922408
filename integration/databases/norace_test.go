//go:build !race

package databases

// What a drill does: rows of a transfer that is killed, and how often one is.
const drillRows, drillKills = 200_000, 8
