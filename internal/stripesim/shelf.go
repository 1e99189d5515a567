package stripesim

import "iter"

// shelf keeps the newest version of each object of one kind in the order of creation, with an index by parent. It is
// not safe for concurrent use.
type shelf[T any] struct {
	key      func(*T) (id string, parents []string)
	place    map[string]int64 // id → number since the beginning
	items    []*T             // items[n-first] has number n
	first    int64
	children map[string][]int64
}

func newShelf[T any](key func(*T) (string, []string)) *shelf[T] {
	return &shelf[T]{key: key, place: map[string]int64{}, children: map[string][]int64{}}
}

// put publishes a version of an object.
func (s *shelf[T]) put(v *T) {
	id, parents := s.key(v)
	if n, ok := s.place[id]; ok {
		s.items[n-s.first] = v
		return
	}
	n := s.first + int64(len(s.items))
	s.place[id] = n
	s.items = append(s.items, v)
	for _, parent := range parents {
		s.children[parent] = append(s.children[parent], n)
	}
}

// get is the newest version, or nil.
func (s *shelf[T]) get(id string) *T {
	if n, ok := s.place[id]; ok {
		return s.items[n-s.first]
	}
	return nil
}

func (s *shelf[T]) len() int    { return len(s.items) }
func (s *shelf[T]) at(i int) *T { return s.items[i] }

// dropOldest forgets the oldest object. Only shelves without parents are ever shortened.
func (s *shelf[T]) dropOldest() {
	id, _ := s.key(s.items[0])
	delete(s.place, id)
	s.items[0] = nil
	s.items = s.items[1:]
	s.first++
}

// oldestFirst walks all objects in order of creation.
func (s *shelf[T]) oldestFirst() iter.Seq[*T] {
	return func(yield func(*T) bool) {
		for _, v := range s.items {
			if !yield(v) {
				return
			}
		}
	}
}

// page is a request for part of a list, newest first. Zero values leave a bound out.
type page struct {
	limit         int
	after, before string // starting_after, ending_before
	parent        string // only its children
}

// list returns up to p.limit objects that match, newest first, and whether there are more in the direction of travel.
// ok is false when a cursor names no object.
func (s *shelf[T]) list(p page, match func(*T) bool) (found []*T, more, ok bool) {
	cursor := p.after + p.before
	var bound int64
	if cursor != "" {
		if bound, ok = s.place[cursor]; !ok {
			return nil, false, false
		}
	}
	visit := func(n int64) bool {
		v := s.items[n-s.first]
		if !match(v) {
			return true
		}
		if len(found) == p.limit {
			more = true
			return false
		}
		found = append(found, v)
		return true
	}
	if p.before != "" {
		s.newer(p.parent, bound, visit)
		for i, j := 0, len(found)-1; i < j; i, j = i+1, j-1 {
			found[i], found[j] = found[j], found[i]
		}
		return found, more, true
	}
	if cursor == "" {
		bound = s.first + int64(len(s.items))
	}
	s.older(p.parent, bound, visit)
	return found, more, true
}

// older visits numbers below bound, downwards, until visit says stop.
func (s *shelf[T]) older(parent string, bound int64, visit func(int64) bool) {
	if parent != "" {
		numbers := s.children[parent]
		for i := len(numbers) - 1; i >= 0; i-- {
			if numbers[i] < bound && !visit(numbers[i]) {
				return
			}
		}
		return
	}
	for n := bound - 1; n >= s.first; n-- {
		if !visit(n) {
			return
		}
	}
}

// newer visits numbers above bound, upwards, until visit says stop.
func (s *shelf[T]) newer(parent string, bound int64, visit func(int64) bool) {
	if parent != "" {
		for _, n := range s.children[parent] {
			if n > bound && !visit(n) {
				return
			}
		}
		return
	}
	for n := bound + 1; n < s.first+int64(len(s.items)); n++ {
		if !visit(n) {
			return
		}
	}
}
