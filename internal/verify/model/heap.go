package model

import "container/heap"

// line is a heap: what comes first by less leaves first.
type line[T any] struct {
	all  []T
	less func(a, b T) bool
}

func (l *line[T]) add(v T)   { heap.Push((*lineHeap[T])(l), v) }
func (l *line[T]) first() *T { return &l.all[0] }
func (l *line[T]) take() T   { return heap.Pop((*lineHeap[T])(l)).(T) }

// lineHeap keeps the methods of heap.Interface off line.
type lineHeap[T any] line[T]

func (h *lineHeap[T]) Len() int           { return len(h.all) }
func (h *lineHeap[T]) Less(i, j int) bool { return h.less(h.all[i], h.all[j]) }
func (h *lineHeap[T]) Swap(i, j int)      { h.all[i], h.all[j] = h.all[j], h.all[i] }

// Push is heap.Interface's.
func (h *lineHeap[T]) Push(v any) { h.all = append(h.all, v.(T)) }

// Pop is heap.Interface's.
func (h *lineHeap[T]) Pop() any {
	last := len(h.all) - 1
	v := h.all[last]
	h.all = h.all[:last]
	return v
}
