//go:build !race

package logical

const drillRows, drillKills = 20_000, 12
