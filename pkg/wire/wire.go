// Package wire holds the messages of the replicated log, the snapshots and the
// protocols between coordinators and agents. The .proto files are the source;
// the Go code is generated (`make generate`) and committed.
package wire

//go:generate protoc --go_out=../.. --go_opt=module=backfleet --go-grpc_out=../.. --go-grpc_opt=module=backfleet --plugin=protoc-gen-go=../../.bin/protoc-gen-go --plugin=protoc-gen-go-grpc=../../.bin/protoc-gen-go-grpc node.proto command.proto agent.proto peer.proto snapshot.proto
