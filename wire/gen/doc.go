// Package gen is how processes of ours speak with those of a node, as gen(3) and its
// relatives have it: calls, registered names, pids, exit reasons, and the few forms of
// terms that the contract has. It knows no socket and decides nothing; childproc and
// mainproc share it.
package gen
