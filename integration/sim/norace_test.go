//go:build !race

package sim

const (
	seedsByDefault   = 250
	seasonsByDefault = 2
	daysByDefault    = 165  // both changes of the clocks
	runsByDefault    = 4000 // of a mixture of worlds
	runsTwice        = 12   // some of them seasons
	breaksTried      = 18
)
