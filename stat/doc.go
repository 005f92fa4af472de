// Package stat is what erluv says of itself and of its programs: plain structs, which the child
// fills in one turn of its loop. A renderer makes of them what is sent or shown: terms (Erlang),
// JSON, text for a terminal; Read makes items of terms again. It knows neither the manager nor a
// connection.
//
// Items puts the keys in one place, in the order in which people read them; the renderers
// know no key.
package stat
