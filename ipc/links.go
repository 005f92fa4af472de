package ipc

// mostLinks is how many connections there may be. Each costs the child three descriptors, main
// three or more, and both a journal.
const mostLinks = 1000

// MostLinks returns how many connections fit a process with this limit of descriptors. Main and the
// child use at most three eighths of them for connections.
func MostLinks(descriptors uint64) int { return int(min(mostLinks, descriptors/8)) }
