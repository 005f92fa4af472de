package cluster

import (
	"cmp"
	"slices"
)

// minMesh is from how many nodes on a mesh is told as one: three connections in a line.
const minMesh = 3

// meshes takes plain connections apart into meshes, sets of nodes that are all connected to
// each other, and the connections that are left. Each connection is in one of them. All are
// sorted. Meshes are found greedily, the largest not always: this is for reading.
func meshes(edges []Edge) (found [][]string, rest []Edge) {
	near := map[string]map[string]bool{}
	for _, e := range edges {
		for _, end := range [][2]string{{e.A, e.B}, {e.B, e.A}} {
			if near[end[0]] == nil {
				near[end[0]] = map[string]bool{}
			}
			near[end[0]][end[1]] = true
		}
	}
	open := make([]string, 0, len(near)) // nodes that a mesh may begin with
	for name := range near {
		open = append(open, name)
	}
	slices.Sort(open)
	for len(open) > 0 {
		first := slices.MaxFunc(open, func(a, b string) int { // the first of those with the most
			return cmp.Or(cmp.Compare(len(near[a]), len(near[b])), cmp.Compare(b, a))
		})
		mesh := meshOf(first, near)
		if len(mesh) < minMesh {
			open = slices.DeleteFunc(open, func(name string) bool { return name == first })
			continue
		}
		for _, a := range mesh {
			for _, b := range mesh {
				delete(near[a], b)
			}
		}
		slices.Sort(mesh)
		found = append(found, mesh)
	}
	for _, e := range edges {
		if near[e.A][e.B] {
			rest = append(rest, e)
		}
	}
	slices.SortFunc(found, func(a, b []string) int {
		return cmp.Or(cmp.Compare(len(b), len(a)), slices.Compare(a, b))
	})
	return found, rest
}

// meshOf grows a mesh from a node, by those first that have most neighbours in common with it.
func meshOf(first string, near map[string]map[string]bool) []string {
	common := map[string]int{}
	var candidates []string
	for name := range near[first] {
		candidates = append(candidates, name)
		for other := range near[name] {
			if near[first][other] {
				common[name]++
			}
		}
	}
	slices.SortFunc(candidates, func(a, b string) int {
		return cmp.Or(cmp.Compare(common[b], common[a]), cmp.Compare(a, b))
	})
	mesh := []string{first}
	for _, name := range candidates {
		if !slices.ContainsFunc(mesh, func(member string) bool { return !near[name][member] }) {
			mesh = append(mesh, name)
		}
	}
	return mesh
}
