//go:build !race

package transfer

// What a drill does: rows of a transfer that is killed, and how often one is.
const drillRows, drillKills = 200_000, 8
