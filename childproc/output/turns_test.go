package output

import "testing"

func TestPiecesAreLargeWhileNobodyConverses(t *testing.T) {
	var turns Turns
	flood := func(bytes int) {
		for n := 0; n < bytes; n += turns.piece() {
			turns.Took(turns.piece())
		}
	}
	if got := turns.piece(); got != fairPiece {
		t.Errorf("the first piece may have %d bytes, want %d", got, fairPiece)
	}
	flood(floodAfter - fairPiece)
	if got := turns.piece(); got != fairPiece {
		t.Errorf("a piece may have %d bytes before %d were written, want %d", got, floodAfter, fairPiece)
	}
	flood(2 * fairPiece)
	if got := turns.piece(); got != MaxPiece {
		t.Errorf("a piece of a flood may have %d bytes, want %d", got, MaxPiece)
	}
	turns.Took(0) // an empty read
	if got := turns.piece(); got != MaxPiece {
		t.Errorf("after nothing a piece may have %d bytes, want %d", got, MaxPiece)
	}
	turns.Took(64) // a conversation
	if got := turns.piece(); got != fairPiece {
		t.Errorf("in a conversation a piece may have %d bytes, want %d", got, fairPiece)
	}
}
