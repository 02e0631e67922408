// Package deploy holds what operators are given in ops/deploy to what there is:
// every command, flag, file and name in it exists. It has tests only; that
// packages install and run is shown by `make verify-deploy`.
package deploy
