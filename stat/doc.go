// Package stat is the data that erluv shows about itself and its programs: plain structs, which the
// child fills in one turn of its loop. Renderers turn them into terms (Erlang), JSON, or text for a
// terminal. Read turns terms into items again. The package knows neither the manager nor a
// connection.
//
//	snapshot.go  erluv, its connections, its programs and watchers
//	upload.go    files and programs that arrive
//	ended.go     runs that have ended
//	figures.go   data for clients that look again and again
//	host.go      the machine, and the programs that it offers
//	items.go     the keys of each struct, in their order
//	terms.go     items as terms
//	read.go      terms as items
//	text.go      items as JSON and as text
//
// Items has the keys in one place, in the order in which people read them. The renderers do not
// know any key.
package stat
