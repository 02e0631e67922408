package schedule

// Heaps of values: container/heap takes and gives them as any, which costs an
// allocation each way for every instance that is queued.

type ordered[T any] interface{ before(other T) bool }

func heapPush[T ordered[T]](h *[]T, x T) {
	*h = append(*h, x)
	up(*h, len(*h)-1)
}

// heapPop takes the first of a heap that is not empty.
func heapPop[T ordered[T]](h *[]T) T { return heapRemove(h, 0) }

// heapRemove takes out what stands at i.
func heapRemove[T ordered[T]](h *[]T, i int) T {
	list, last := *h, len(*h)-1
	x := list[i]
	list[i] = list[last]
	clear(list[last:])
	*h = list[:last]
	if i < last {
		heapFix(*h, i)
	}
	return x
}

// heapFix restores the order after what stands at i has changed.
func heapFix[T ordered[T]](h []T, i int) {
	if !down(h, i) {
		up(h, i)
	}
}

func heapInit[T ordered[T]](h []T) {
	for i := len(h)/2 - 1; i >= 0; i-- {
		down(h, i)
	}
}

func up[T ordered[T]](h []T, i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if !h[i].before(h[parent]) {
			return
		}
		h[i], h[parent] = h[parent], h[i]
		i = parent
	}
}

func down[T ordered[T]](h []T, i int) (moved bool) {
	for {
		least := 2*i + 1
		if least >= len(h) {
			return moved
		}
		if right := least + 1; right < len(h) && h[right].before(h[least]) {
			least = right
		}
		if !h[least].before(h[i]) {
			return moved
		}
		h[i], h[least] = h[least], h[i]
		i, moved = least, true
	}
}
