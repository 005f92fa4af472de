package main

import "runtime/debug"

// heapLimit is the heap size, in bytes, from which on a role collects garbage early instead of when
// the heap has doubled. A role's lasting data for a node is smaller, so the limit affects only
// garbage. Most of that data is about observers, in childproc and mainproc: at most 1 << 20 of them.
const heapLimit = 160 << 20

func limitHeap() { debug.SetMemoryLimit(heapLimit) }
