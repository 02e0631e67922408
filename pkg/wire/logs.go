package wire

// What the sender of log chunks puts into one message: up to GroupChunks of
// them, and none more once they have GroupBytes of data. An answer speaks for
// up to GroupChunks, too.
const (
	GroupChunks = 256
	GroupBytes  = 64 << 10
)

// GroupLogs lays the chunks into one message, in order; there is at least one.
// They are not changed: others may hold them.
func GroupLogs(chunks []*LogChunk) *LogChunk {
	if len(chunks) == 1 {
		return chunks[0]
	}
	c := chunks[0]
	return &LogChunk{Ref: c.Ref, Offset: c.Offset, Size: c.Size, Data: c.Data, Last: c.Last, Cleared: c.Cleared, More: chunks[1:]}
}

// UngroupLogs takes a message apart again.
func UngroupLogs(c *LogChunk) []*LogChunk {
	chunks := append(make([]*LogChunk, 0, 1+len(c.More)), c)
	chunks = append(chunks, c.More...)
	c.More = nil
	return chunks
}

// UngroupAcks takes answers apart that came in one message.
func UngroupAcks(a *LogAck) []*LogAck {
	acks := append(make([]*LogAck, 0, 1+len(a.More)), a)
	acks = append(acks, a.More...)
	a.More = nil
	return acks
}

// RoomForLog tells whether another chunk may be added to a message that has so
// many, with so much data.
func RoomForLog(chunks, bytes int) bool {
	return chunks == 0 || chunks < GroupChunks && bytes < GroupBytes
}
