//go:build !race

package transfer

// drillRows is how many rows a transfer moves that is killed.
const drillRows = 200_000
