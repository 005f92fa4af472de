// Package stat is what erluv says of itself and of its programs. A Snapshot is a plain
// struct, which the child fills in one turn of its loop; a renderer makes of it what is
// sent or shown: terms (Erlang), JSON, text for a terminal, OpenMetrics. It knows neither
// the manager nor a connection.
//
// Items puts the keys in one place, in the order in which people read them; the renderers
// know no key.
package stat
