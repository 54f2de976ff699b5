// Command go is the adapter for nats.go: it carries out the commands of test/native/README.md.
package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// An adapter has the bucket and the watcher that the next commands are about.
type adapter struct {
	js      jetstream.JetStream
	kv      jetstream.KeyValue
	watcher jetstream.KeyWatcher
}

func main() {
	nc, err := nats.Connect(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	a := &adapter{js: js}
	lines := bufio.NewReader(os.Stdin)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return
		}
		fmt.Println(a.answer(strings.Split(strings.TrimSuffix(line, "\n"), "\t")))
	}
}

// answer carries out one command and returns the line that answers it.
func (a *adapter) answer(command []string) string {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	fields, err := a.carryOut(ctx, command[0], command[1:])
	switch {
	case err == nil:
		return strings.Join(append([]string{"ok"}, fields...), "\t")
	case errors.Is(err, jetstream.ErrKeyNotFound), errors.Is(err, jetstream.ErrBucketNotFound):
		return "missing"
	case errors.Is(err, jetstream.ErrKeyExists), errors.Is(err, jetstream.ErrKeyRevisionMismatch):
		return "conflict"
	case errors.Is(err, errNoData), errors.Is(err, errTimeout), errors.Is(err, errNoAPI):
		return err.Error()
	default:
		return "error\t" + strings.ReplaceAll(err.Error(), "\n", " ")
	}
}

var (
	errNoData  = errors.New("end")
	errTimeout = errors.New("timeout")
	errNoAPI   = errors.New("cannot\tPut takes no time to live")
)

// carryOut returns the fields that come behind "ok".
func (a *adapter) carryOut(ctx context.Context, name string, args []string) ([]string, error) {
	switch name {
	case "client":
		return []string{"nats.go", libraryVersion()}, nil
	case "create":
		return nil, a.create(ctx, args)
	case "bind":
		kv, err := a.js.KeyValue(ctx, args[0])
		a.kv = kv
		return nil, err
	case "status":
		return a.status(ctx)
	case "get":
		return entry(a.kv.Get(ctx, args[0]))
	case "revision":
		return entry(a.kv.GetRevision(ctx, args[0], number(args[1])))
	case "put":
		if args[2] != "0" {
			return nil, errNoAPI
		}
		return revision(a.kv.Put(ctx, args[0], value(args[1])))
	case "create-key":
		return revision(a.kv.Create(ctx, args[0], value(args[1]), keyTTL(args[2])...))
	case "update":
		return revision(a.kv.Update(ctx, args[0], value(args[1]), number(args[2])))
	case "delete":
		return nil, a.kv.Delete(ctx, args[0], ifRevision(args[1])...)
	case "purge":
		return nil, a.kv.Purge(ctx, args[0], markerTTL(args[1])...)
	case "keys":
		return a.keys(ctx)
	case "history":
		return a.history(ctx, args[0])
	case "watch":
		var err error
		// The watch outlives the command.
		a.watcher, err = a.kv.Watch(context.Background(), args[0], fromRevision(args[1])...)
		return nil, err
	case "next":
		return a.next(milliseconds(args[0]))
	case "unwatch":
		return nil, a.watcher.Stop()
	case "increment":
		return a.increment(ctx, args[0], int(number(args[1])))
	}
	return nil, fmt.Errorf("unknown command %q", name)
}

func (a *adapter) create(ctx context.Context, args []string) (err error) {
	a.kv, err = a.js.CreateKeyValue(ctx, jetstream.KeyValueConfig{
		Bucket: args[0], History: uint8(number(args[1])),
		TTL: milliseconds(args[2]), LimitMarkerTTL: milliseconds(args[3]),
	})
	return err
}

func (a *adapter) status(ctx context.Context) ([]string, error) {
	status, err := a.kv.Status(ctx)
	if err != nil {
		return nil, err
	}
	ttl := strconv.FormatInt(status.TTL().Milliseconds(), 10)
	return []string{strconv.FormatInt(status.History(), 10), ttl}, nil
}

func (a *adapter) keys(ctx context.Context) ([]string, error) {
	keys, err := a.kv.Keys(ctx)
	if errors.Is(err, jetstream.ErrNoKeysFound) {
		return nil, nil
	}
	return keys, err
}

func (a *adapter) history(ctx context.Context, key string) ([]string, error) {
	entries, err := a.kv.History(ctx, key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil, nil
	}
	var fields []string
	for _, e := range entries {
		fields = append(fields, fmt.Sprintf("%s:%d:%x", operation(e), e.Revision(), e.Value()))
	}
	return fields, err
}

func (a *adapter) next(patience time.Duration) ([]string, error) {
	select {
	case e, open := <-a.watcher.Updates():
		if !open {
			return nil, errors.New("the watcher ended")
		}
		if e == nil {
			return nil, errNoData
		}
		text := hex.EncodeToString(e.Value())
		return []string{operation(e), strconv.FormatUint(e.Revision(), 10), e.Key(), text}, nil
	case <-time.After(patience):
		return nil, errTimeout
	}
}

// increment adds one to the number under key as often as told, by compare-and-set, and returns how
// often it lost a race.
func (a *adapter) increment(ctx context.Context, key string, times int) ([]string, error) {
	lost := 0
	for done := 0; done < times; {
		e, err := a.kv.Get(ctx, key)
		if err != nil {
			return nil, err
		}
		n, err := strconv.Atoi(string(e.Value()))
		if err != nil {
			return nil, err
		}
		_, err = a.kv.Update(ctx, key, []byte(strconv.Itoa(n+1)), e.Revision())
		switch {
		case err == nil:
			done++
		case errors.Is(err, jetstream.ErrKeyRevisionMismatch):
			lost++
		default:
			return nil, err
		}
	}
	return []string{strconv.Itoa(lost)}, nil
}

func entry(e jetstream.KeyValueEntry, err error) ([]string, error) {
	if err != nil {
		return nil, err
	}
	return []string{strconv.FormatUint(e.Revision(), 10), hex.EncodeToString(e.Value())}, nil
}

func revision(revision uint64, err error) ([]string, error) {
	return []string{strconv.FormatUint(revision, 10)}, err
}

func operation(e jetstream.KeyValueEntry) string {
	return map[jetstream.KeyValueOp]string{
		jetstream.KeyValuePut: "put", jetstream.KeyValueDelete: "delete",
		jetstream.KeyValuePurge: "purge",
	}[e.Operation()]
}

func keyTTL(ms string) []jetstream.KVCreateOpt {
	if ms == "0" {
		return nil
	}
	return []jetstream.KVCreateOpt{jetstream.KeyTTL(milliseconds(ms))}
}

func ifRevision(revision string) []jetstream.KVDeleteOpt {
	if revision == "0" {
		return nil
	}
	return []jetstream.KVDeleteOpt{jetstream.LastRevision(number(revision))}
}

func fromRevision(revision string) []jetstream.WatchOpt {
	if revision == "0" {
		return nil
	}
	return []jetstream.WatchOpt{jetstream.ResumeFromRevision(number(revision))}
}

func markerTTL(ms string) []jetstream.KVDeleteOpt {
	if ms == "0" {
		return nil
	}
	return []jetstream.KVDeleteOpt{jetstream.PurgeTTL(milliseconds(ms))}
}

// number reads a number that the runner has written; so do value and milliseconds.
func number(text string) uint64 {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}

func value(text string) []byte {
	bytes, err := hex.DecodeString(text)
	if err != nil {
		panic(err)
	}
	return bytes
}

func milliseconds(text string) time.Duration {
	return time.Duration(number(text)) * time.Millisecond
}

func libraryVersion() string {
	info, _ := debug.ReadBuildInfo()
	for _, module := range info.Deps {
		if module.Path == "github.com/nats-io/nats.go" {
			return strings.TrimPrefix(module.Version, "v")
		}
	}
	return "unknown"
}
