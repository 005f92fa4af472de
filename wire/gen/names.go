package gen

import (
	"strings"

	"erluv/wire/etf"
)

// The registered names of this node.
const (
	Manager   etf.Atom = "erluv"
	Main      etf.Atom = "erluv_main"
	NetKernel etf.Atom = "net_kernel"
)

// IsName reports whether erluv itself has registered the name. The names of workers do not count.
func IsName(name etf.Atom) bool { return name == Manager || name == Main || name == NetKernel }

// These prefixes give a node at the control socket few rights.
const (
	onlooker  = "look_" // may look, and change nothing
	attendant = "tend_" // may also stop and restart programs
)

// Looks reports whether a node with such a name may only look.
func Looks(node etf.Atom) bool { return strings.HasPrefix(string(node), onlooker) }

// Tends reports whether a node with such a name may look, stop and restart programs, and nothing
// else.
func Tends(node etf.Atom) bool { return strings.HasPrefix(string(node), attendant) }
