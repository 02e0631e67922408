//go:build !race

package naive

const seedsByDefault = 800
