package natsd_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kvgateway/internal/natsd"
)

// After a clean stop nothing may have changed, so that a stream whose directory or configuration is
// gone was not deleted: it is lost.
func TestStreamGoneAfterACleanStopIsALoss(t *testing.T) {
	for name, tc := range map[string]struct {
		damage func(t *testing.T, d damagedStore)
		moved  bool // the messages are there still, and are set aside with consent
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
			other := stored(t, always, true)
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
			d := stored(t, always, true)
			tc.damage(t, d)
			before := contents(t, d.blocks(t))
			opts := always
			opts.DataDir = d.dataDir
			for range 2 {
				s, err := natsd.Start(t.Context(), opts)
				loss, ok := errors.AsType[*natsd.LossError](err)
				if !ok {
					if err == nil {
						_ = s.Shutdown()
					}
					t.Fatalf("started without a stream that a clean stop had left: %v", err)
				}
				if loss.Opened || !strings.Contains(err.Error(), "KV_shop") {
					t.Errorf("error %q", err)
				}
				if after := contents(t, d.blocks(t)); len(after) != len(before) {
					t.Errorf("%d of %d blocks are left by a start that was refused",
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
			start(t, opts) // what was accepted is not asked for again
		})
	}
}
