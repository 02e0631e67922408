//go:build race

package sim

// fewer: the race detector is slow, and a run is one goroutine.
const (
	seedsByDefault   = 30
	seasonsByDefault = 1
	daysByDefault    = 30
	runsByDefault    = 1 // of a mixture of worlds
	runsTwice        = 2
	breaksTried      = 6
)
