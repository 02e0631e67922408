//go:build !race

package sim

const (
	seedsByDefault   = 150
	seasonsByDefault = 2
)
