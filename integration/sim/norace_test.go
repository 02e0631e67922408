//go:build !race

package sim

const seedsByDefault = 250
const seasonsByDefault = 3
