package main

import "runtime/debug"

// heapLimit is from what size on a role's garbage is collected early, in bytes, instead
// of when the heap has doubled. What a role keeps for a node is below (the watches of
// childproc and mainproc, 1 << 20 of them, are the most of it), so only garbage is affected.
const heapLimit = 160 << 20

func limitHeap() { debug.SetMemoryLimit(heapLimit) }
