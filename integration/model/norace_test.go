//go:build !race

package model

const seedsByDefault = 800
