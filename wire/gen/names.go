package gen

import (
	"strings"

	"erluv/wire/etf"
)

// Names that are registered on our node.
const (
	Manager   etf.Atom = "erluv"
	Main      etf.Atom = "erluv_main"
	NetKernel etf.Atom = "net_kernel"
)

// IsName says whether a process of ours is registered under the name, whatever the
// workers are called.
func IsName(name etf.Atom) bool { return name == Manager || name == Main || name == NetKernel }

// What a node at the control socket is called that needs few rights there.
const (
	onlooker  = "look_" // looks, and changes nothing
	attendant = "tend_" // the same, and may stop programs and have them started again
)

// Looks says whether a node with such a name may look alone.
func Looks(node etf.Atom) bool { return strings.HasPrefix(string(node), onlooker) }

// Tends says whether it may stop programs, too, and have them started again.
func Tends(node etf.Atom) bool { return strings.HasPrefix(string(node), attendant) }
