package cells

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestProgressShowsCellRoundAndEstimate(t *testing.T) {
	var out bytes.Buffer
	now := time.Unix(0, 0)
	p := &progress{w: &out, now: func() time.Time { return now }, cells: 2, steps: 6}
	p.step(0, "get/1/128", 0, 3)
	now = now.Add(10 * time.Second)
	p.step(0, "get/1/128", 1, 3)
	now = now.Add(10 * time.Second)
	p.say("get/1/128 is done")
	p.step(1, "put/1/128", 0, 3)
	p.close()
	want := clearLine + "cell 1 of 2, get/1/128, round 1 of 3, 0s" +
		clearLine + "cell 1 of 2, get/1/128, round 2 of 3, 10s, about 50s left" +
		clearLine + "get/1/128 is done\n" +
		clearLine + "cell 2 of 2, put/1/128, round 1 of 3, 20s, about 40s left" + clearLine
	if out.String() != want {
		t.Errorf("it shows\n%q, not\n%q", out.String(), want)
	}
}

func TestProgressIsForTerminalsOnly(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var buffer bytes.Buffer
	for _, p := range []*progress{newProgress(file, 1, 1), newProgress(&buffer, 1, 1)} {
		p.step(0, "get/1/128", 0, 1)
		p.say("done")
		p.close()
	}
	if info, err := file.Stat(); err != nil || info.Size() != 0 || buffer.Len() != 0 {
		t.Errorf("%v, %v; %q", info, err, buffer.String())
	}
}
