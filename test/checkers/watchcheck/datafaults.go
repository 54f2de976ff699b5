package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// These faults are done to the server's data directory while the server is down or stands still.

// copyStore copies the data directory, and returns the directory that has the copy.
func (r *run) copyStore() (string, error) {
	dir, err := os.MkdirTemp("", "watchcheck-copy")
	if err != nil {
		return "", err
	}
	return dir, os.CopyFS(filepath.Join(dir, "store"), os.DirFS(r.dir))
}

// putBack replaces the data directory by a copy, and notes that each bucket has another history
// from now on. The server must be down.
func (r *run) putBack(dir string, copied, lost time.Time) error {
	defer os.RemoveAll(dir)
	if err := os.RemoveAll(r.dir); err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(dir, "store"), r.dir); err != nil {
		return err
	}
	for _, recorder := range r.recorders {
		recorder.Branch(copied, lost)
	}
	return nil
}

// restore stops the server, keeps a copy of its data, lets it run for a while and puts the copy
// back, as an operator does with a backup. The gateway runs through it, or starts again after it.
func (r *run) restore(gatewayToo bool) func(context.Context, *rand.Rand) error {
	return func(ctx context.Context, random *rand.Rand) error {
		err := r.nats.Stop(syscall.SIGTERM)
		copied := time.Now()
		dir, err2 := r.copyStore()
		if err = errors.Join(err, err2, r.nats.Start()); err != nil {
			return err
		}
		tag, err := r.doomed(ctx)
		time.Sleep(time.Duration(1500+random.IntN(1000)) * time.Millisecond)
		if gatewayToo {
			err = errors.Join(err, r.gateway.Stop(syscall.SIGTERM))
		}
		err = errors.Join(err, r.nats.Stop(syscall.SIGTERM))
		return errors.Join(err, r.back(ctx, dir, copied, gatewayToo), r.compareTag(ctx, tag))
	}
}

// loseTail is a power cut of a server that syncs every 100 ms: what was stored since then is lost.
// SIGKILL alone loses nothing that the kernel has, so a copy of that moment is put back.
func (r *run) loseTail(ctx context.Context, random *rand.Rand) error {
	if err := r.nats.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	copied := time.Now()
	dir, err := r.copyStore()
	err = errors.Join(err, r.nats.Signal(syscall.SIGCONT))
	tag, err2 := r.doomed(ctx)
	time.Sleep(time.Duration(random.IntN(200)) * time.Millisecond)
	killed := time.Now()
	err = errors.Join(err, err2, r.nats.Stop(syscall.SIGKILL),
		r.back(ctx, dir, copied, false), r.compareTag(ctx, tag))
	for _, recorder := range r.recorders {
		recorder.crashed(killed)
	}
	return err
}

// back starts the server on a copy of its data, and waits until it serves every bucket.
func (r *run) back(ctx context.Context, dir string, copied time.Time, gatewayToo bool) error {
	err := r.putBack(dir, copied, time.Now())
	if err = errors.Join(err, r.nats.Start()); err != nil {
		return err
	}
	if gatewayToo {
		err = r.gateway.Start()
	}
	for name, recorder := range r.recorders {
		err = errors.Join(err, insist(ctx, func(ctx context.Context) error {
			short, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
			defer cancel()
			_, err := r.js.Stream(short, "KV_"+name)
			return err
		}))
		recorder.Returned()
	}
	return err
}
