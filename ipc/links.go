package ipc

// mostLinks is how many connections there may be. Each costs the child three descriptors, main three
// or more, and both a journal.
const mostLinks = 1000

// MostLinks is the same for a process that may have so many descriptors: main and the child
// spend three eighths of them on it at most.
func MostLinks(descriptors uint64) int { return int(min(mostLinks, descriptors/8)) }
