//go:build race

package sim

// fewer: the race detector is slow, and a run is one goroutine.
const (
	seedsByDefault   = 30
	seasonsByDefault = 1
	daysByDefault    = 30
	runsTwice        = 2
	breaksTried      = 6
)
