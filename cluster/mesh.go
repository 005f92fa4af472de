package cluster

import (
	"cmp"
	"slices"
)

// minMesh is the least number of nodes that the map shows as a mesh: three connections in one line.
const minMesh = 3

// meshes divides plain connections into meshes and remaining connections. In a mesh all nodes are
// connected to each other. Each connection is in exactly one of them. All are sorted. The search is
// greedy and does not always find the largest mesh, which is enough for readers.
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
		first := slices.MaxFunc(open, func(a, b string) int { // the first of those with the most connections
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

// meshOf grows a mesh from a node. It first tries nodes with the most neighbours in common.
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
