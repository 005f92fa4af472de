package gen

import "erluv/wire/etf"

// Names that are registered on our node.
const (
	Manager   etf.Atom = "erluv"
	Main      etf.Atom = "erluv_main"
	NetKernel etf.Atom = "net_kernel"
)

// IsName says whether a process of ours is registered under the name, whatever the
// workers are called.
func IsName(name etf.Atom) bool { return name == Manager || name == Main || name == NetKernel }
