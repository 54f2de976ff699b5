package natsd_test

import (
	"os"
	"path/filepath"
	"testing"
)

// A stream whose directory or configuration is gone after a clean stop is lost. It was not deleted,
// since nothing may have changed.
func TestStreamGoneAfterACleanStopIsALoss(t *testing.T) {
	for name, tc := range map[string]struct {
		damage func(t *testing.T, d damagedStore)
		// moved says that the messages are still there, and that AcceptLoss sets them aside.
		moved bool
	}{
		"directory": {damage: func(t *testing.T, d damagedStore) {
			if err := os.RemoveAll(d.streamDir); err != nil {
				t.Fatal(err)
			}
		}},
		"configuration": {moved: true, damage: func(t *testing.T, d damagedStore) {
			remove(t, filepath.Join(d.streamDir, "meta.inf"))
		}},
		"another of its name": {damage: func(t *testing.T, d damagedStore) {
			other := stored(t, always)
			err := os.RemoveAll(d.streamDir)
			if err == nil {
				err = os.CopyFS(d.streamDir, os.DirFS(other.streamDir))
			}
			if err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := stored(t, always)
			tc.damage(t, d)
			before := contents(t, d.blocks(t))
			opts := always
			opts.DataDir = d.dataDir
			for range 2 {
				if loss := startWithLoss(t, opts); loss.Opened {
					t.Errorf("error %q", loss)
				}
				if after := contents(t, d.blocks(t)); len(after) != len(before) {
					t.Errorf("a start that was refused has left %d of %d blocks",
						len(after), len(before))
				}
			}
			opts.AcceptLoss = true
			if err := start(t, opts).Shutdown(); err != nil {
				t.Fatal(err)
			}
			kept := d.setAside()
			if tc.moved && len(kept) != len(before) {
				t.Errorf("%d of %d blocks were set aside", len(kept), len(before))
			}
			opts.AcceptLoss = false
			start(t, opts) // a loss that was accepted needs no consent again
		})
	}
}
